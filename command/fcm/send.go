package fcm

import (
	"bytes"
	"context"
	"io"
	"net/http"

	"github.com/leat-go/leat/internal/notify"
)

// send sends a message to a token.
func (n *Notifier) send(ctx context.Context, token string, m Message) outcome {
	body, err := m.encode(token)
	if err != nil {
		return outcome{Failure: notify.Failure{Err: err, ForGood: true}}
	}
	refused := ""
	for again := false; ; again = true {
		access, err := n.auth.get(ctx, refused)
		if err != nil {
			return outcome{Failure: notify.Failure{Err: err}}
		}
		a, err := n.post(ctx, access, body)
		if err != nil {
			return outcome{Failure: notify.Failure{Err: notify.Cause(err)}}
		}
		if !a.refused() || again {
			return a.outcome(n.cfg.MaxWait)
		}
		refused = access
	}
}

// post makes one request. It asks the transport itself, which follows no redirects.
func (n *Notifier) post(ctx context.Context, access string, body []byte) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, n.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.url, bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+access)
	resp, err := n.cfg.Transport.RoundTrip(req)
	if err != nil {
		return answer{}, err
	}
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // one that breaks off has no code
	_ = resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.code, a.fcm = codeOf(said)
	return a, nil
}
