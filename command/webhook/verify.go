package webhook

import (
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Tolerance is how far a webhook's timestamp may be from the receiver's clock, before or
// behind it, for [Verify].
const Tolerance = 5 * time.Minute

// Why a webhook is refused.
var (
	ErrHeader    = errors.New("webhook: a header is missing or wrong")
	ErrTimestamp = errors.New("webhook: the timestamp is too far from now")
	ErrSignature = errors.New("webhook: no signature is by a secret of ours")
)

// Verify checks that a request was signed by one of the secrets, and within [Tolerance] of
// now. body is what was received, byte for byte. It returns nil, or one of [ErrHeader],
// [ErrTimestamp], [ErrSignature] and [ErrSecret]. Within these minutes a request can come
// again, and a sender repeats what it got no answer to: the header webhook-id tells what
// was handled before.
//
// Signatures are compared in constant time. It may be called concurrently.
func Verify(secrets []Secret, h http.Header, body []byte, now time.Time) error {
	keys, err := keysOf(secrets)
	if err != nil {
		return err
	}
	return verify(keys, h, body, now, Tolerance)
}

func verify(keys [][]byte, h http.Header, body []byte, now time.Time, tolerance time.Duration) error {
	id, err := only(h, headerID)
	if err != nil {
		return err
	}
	timestamp, err := only(h, headerTimestamp)
	if err != nil {
		return err
	}
	header, err := only(h, headerSignature)
	if err != nil {
		return err
	}
	at, err := parseTimestamp(timestamp)
	if err != nil {
		return err
	}
	if now.Sub(at).Abs() > tolerance {
		return fmt.Errorf("%w: more than %v", ErrTimestamp, tolerance)
	}
	given := signaturesIn(header)
	if len(given) == 0 {
		return fmt.Errorf("%w: %s has no signature of version 1", ErrHeader, strings.ToLower(headerSignature))
	}
	if !anyMatches(keys, given, id, timestamp, body) {
		return ErrSignature
	}
	return nil
}

// only returns the one value of a header. Of several, others along the way may have read
// another.
func only(h http.Header, name string) (string, error) {
	if values := h.Values(name); len(values) == 1 && values[0] != "" {
		return values[0], nil
	}
	return "", fmt.Errorf("%w: %s has to be there once", ErrHeader, strings.ToLower(name))
}

// parseTimestamp reads seconds since 1970.
func parseTimestamp(text string) (time.Time, error) {
	seconds, err := strconv.ParseUint(text, 10, 40) // 40 bits: package time overflows far above
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %s has to be in seconds since 1970", ErrHeader, strings.ToLower(headerTimestamp))
	}
	return time.Unix(int64(seconds), 0), nil
}

// anyMatches compares all with all, in a time that doesn't tell which one matched.
func anyMatches(keys [][]byte, given []signature, id, timestamp string, body []byte) bool {
	found := false
	for _, key := range keys {
		want := sign(key, id, timestamp, body)
		for _, s := range given {
			if hmac.Equal(want[:], s[:]) {
				found = true
			}
		}
	}
	return found
}
