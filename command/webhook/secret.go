package webhook

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strings"
)

// Secret is what a sender and a receiver share: whsec_ and 24 to 64 bytes in base64 with
// padding (Standard Webhooks, "Signature scheme"). Package fmt prints it without its bytes,
// also within a [Target], and so does log/slog where it is a value of its own.
type Secret string

const (
	secretPrefix = "whsec_"
	minSecret    = 24
	maxSecret    = 64
	newSecret    = 32
)

// ErrSecret is the error of a secret that isn't one, and of none at all.
var ErrSecret = errors.New("webhook: a secret is whsec_ and 24 to 64 bytes in base64")

// NewSecret returns a random secret of 32 bytes. It may be called concurrently.
func NewSecret() Secret {
	b := make([]byte, newSecret)
	_, _ = rand.Read(b) // never fails: it ends the program instead
	return Secret(secretPrefix + base64.StdEncoding.EncodeToString(b))
}

// String returns whsec_ and nothing of the secret. Its text is string(s).
func (s Secret) String() string { return secretPrefix + "…" }

// Format prints the same as String, by whatever verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements [slog.LogValuer]: the same as String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// key returns the bytes of the secret. Its error has nothing of it.
func (s Secret) key() ([]byte, error) {
	text, ok := strings.CutPrefix(string(s), secretPrefix)
	if !ok || len(text) > base64.StdEncoding.EncodedLen(maxSecret) || strings.ContainsAny(text, "\r\n") { // the decoder passes over these
		return nil, ErrSecret
	}
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(key) < minSecret || len(key) > maxSecret {
		return nil, ErrSecret
	}
	return key, nil
}

// keysOf returns the bytes of all secrets.
func keysOf(secrets []Secret) ([][]byte, error) {
	if len(secrets) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrSecret)
	}
	keys := make([][]byte, len(secrets))
	for i, s := range secrets {
		key, err := s.key()
		if err != nil {
			return nil, fmt.Errorf("%w: number %d is not", ErrSecret, i+1)
		}
		keys[i] = key
	}
	return keys, nil
}
