package webhook

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// VerifierConfig says what a receiver accepts. Secrets is needed; all else may be zero.
type VerifierConfig struct {
	Secrets   []Secret      // any of these may have signed
	Tolerance time.Duration // how far a timestamp may be from now; 0: 5 minutes
	MaxBody   int64         // bytes of a body at most; 0: 1 MiB
}

const defaultMaxBody = 1 << 20

// Verifier checks the webhooks that a receiver gets. Its methods may be called concurrently.
type Verifier struct {
	keys [][]byte
	cfg  VerifierConfig
}

// ErrBody is the error of a body that is too large, or that broke off.
var ErrBody = errors.New("webhook: the body can't be read")

// NewVerifier returns a verifier. It fails with [ErrSecret] if one of the secrets isn't one,
// or there is none.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	keys, err := keysOf(cfg.Secrets)
	if err != nil {
		return nil, err
	}
	if cfg.Tolerance <= 0 {
		cfg.Tolerance = Tolerance
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = defaultMaxBody
	}
	return &Verifier{keys, cfg}, nil
}

// Verify is as the function [Verify], now, with the verifier's tolerance.
func (v *Verifier) Verify(h http.Header, body []byte) error {
	return verify(v.keys, h, body, time.Now(), v.cfg.Tolerance)
}

// Read reads the body of a request and verifies it. It returns the body if all is well,
// [ErrBody] if it is larger than allowed or breaks off, or an error of [Verify].
func (v *Verifier) Read(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, v.cfg.MaxBody+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it breaks off", ErrBody)
	case int64(len(body)) > v.cfg.MaxBody:
		return nil, fmt.Errorf("%w: more than %d bytes", ErrBody, v.cfg.MaxBody)
	}
	if err := v.Verify(r.Header, body); err != nil {
		return nil, err
	}
	return body, nil
}
