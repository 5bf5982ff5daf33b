package fcm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/jwt"

	"github.com/leat-go/leat/internal/notify"
)

// bearer has the access token for all requests.
type bearer struct {
	jwt       *jwt.Config
	transport http.RoundTripper
	timeout   time.Duration

	mine  chan struct{} // holds one while somebody looks at what follows: whoever waits can give up
	token string
	ends  time.Time
}

const (
	early   = time.Minute // before its end a token isn't used any more
	longest = time.Hour   // that a token is kept; Google's are valid for that long
)

func newBearer(cfg *jwt.Config, transport http.RoundTripper, timeout time.Duration) *bearer {
	return &bearer{jwt: cfg, transport: transport, timeout: timeout, mine: make(chan struct{}, 1)}
}

// get returns an access token other than refused, which FCM didn't take. One caller fetches
// it for all.
func (b *bearer) get(ctx context.Context, refused string) (string, error) {
	select {
	case b.mine <- struct{}{}:
		defer func() { <-b.mine }()
	case <-ctx.Done():
		return "", ctx.Err()
	}
	if b.token != "" && b.token != refused && time.Now().Before(b.ends) {
		return b.token, nil
	}
	t, err := b.fetch(ctx)
	if err != nil {
		return "", fmt.Errorf("access token: %w", err)
	}
	b.token, b.ends = t.AccessToken, time.Now().Add(longest-early)
	if ends := t.Expiry.Add(-early); !t.Expiry.IsZero() && ends.Before(b.ends) {
		b.ends = ends
	}
	return b.token, nil
}

// fetch asks for an access token once.
func (b *bearer) fetch(ctx context.Context) (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	bound := &bound{ctx: ctx, transport: b.transport}
	client := &http.Client{Transport: bound, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t, err := b.jwt.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client)).Token()
	switch {
	case err != nil:
		return nil, b.why(err, bound.err)
	case t.AccessToken == "":
		return nil, errors.New("the answer has none")
	}
	return t, nil
}

// oauthCode is how the error codes of OAuth look (RFC 6749, section 5.2).
var oauthCode = regexp.MustCompile(`^[a-z_]{1,64}$`)

// why tells why there is no access token, without what is in the answer: package oauth2
// quotes it.
func (b *bearer) why(err, sent error) error {
	if sent != nil {
		return notify.Cause(sent)
	}
	refused, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return errors.New("the answer can't be read")
	}
	var body struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(refused.Body, &body) != nil || !oauthCode.MatchString(body.Error) {
		return fmt.Errorf("answered %d", refused.Response.StatusCode)
	}
	return fmt.Errorf("answered %d %s", refused.Response.StatusCode, body.Error)
}

// bound makes requests within a context: package oauth2 doesn't. It keeps the error, which
// package oauth2 turns into text.
type bound struct {
	ctx       context.Context
	transport http.RoundTripper
	err       error
}

func (b *bound) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := b.transport.RoundTrip(r.WithContext(b.ctx))
	b.err = err
	return resp, err
}
