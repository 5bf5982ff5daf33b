package webhook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/leat-go/leat/internal/notify"
)

// message is what all targets are told.
type message struct {
	id   string
	body []byte
}

// answer is what became of one target.
type answer struct {
	notify.Failure

	gone bool
}

// tell sends a message to a target.
func (n *Notifier) tell(ctx context.Context, t Target, m message) answer {
	u, err := n.parse(t.URL)
	if err != nil {
		return answer{Failure: notify.Failure{Err: err, ForGood: true}}
	}
	keys, err := keysOf(t.Secrets)
	if err != nil {
		return answer{Failure: notify.Failure{Err: fmt.Errorf("%s: %w", u.Host, err), ForGood: true}}
	}
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	status, header, err := n.post(ctx, u, keys, m)
	if err != nil {
		return answer{Failure: notify.Failure{
			Err:     fmt.Errorf("%s: %w", u.Host, notify.Cause(err)),
			ForGood: errors.Is(err, ErrAddress),
		}}
	}
	return n.read(u.Host, status, header)
}

// The errors of URLs don't have the URL: there can be secrets in it.
var (
	errURL    = errors.New("the URL of a target can't be read")
	errScheme = errors.New("the URL of a target has to be https")
	errUser   = errors.New("the URL of a target must not have a user in it")
)

func (n *Notifier) parse(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Opaque != "":
		return nil, errURL
	case u.Scheme != "https" && (u.Scheme != "http" || !n.cfg.AllowPlain):
		return nil, errScheme
	case u.Hostname() == "":
		return nil, errURL
	case u.User != nil:
		return nil, errUser
	}
	return u, nil
}

// hostOf names a target in errors.
func hostOf(t Target) string {
	u, err := url.Parse(t.URL)
	if err != nil {
		return "?"
	}
	return u.Host
}

// post sends a message once. It asks the transport itself, which follows no redirects and
// has no cookies.
func (n *Notifier) post(ctx context.Context, u *url.URL, keys [][]byte, m message) (int, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(m.body))
	if err != nil {
		return 0, nil, err
	}
	timestamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header = http.Header{
		"Content-Type":  {"application/json"},
		"User-Agent":    {"leat-webhook/1"},
		headerID:        {m.id},
		headerTimestamp: {timestamp},
		headerSignature: {signAll(keys, m.id, timestamp, m.body)},
	}
	resp, err := n.transport.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // what is short leaves the connection for the next request
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header, nil
}

// read tells what an answer means.
func (n *Notifier) read(host string, status int, h http.Header) answer {
	switch {
	case status >= 200 && status < 300:
		return answer{}
	case status == http.StatusGone:
		return answer{gone: true}
	}
	f := notify.Failure{Err: fmt.Errorf("%s answered %d", host, status)}
	switch status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.After, f.Timed = notify.RetryAfter(h, time.Now(), n.cfg.MaxWait)
	}
	return answer{Failure: f}
}
