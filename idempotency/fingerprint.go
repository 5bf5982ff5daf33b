package idempotency

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/leat-go/leat/event"
)

// fingerprint tells payloads apart: the first 128 bits of a SHA-256 of type, content
// type and data, or of the digest of data that are elsewhere.
func fingerprint(e event.Event) string {
	h := sha256.New()
	h.Write([]byte(e.Type()))
	h.Write([]byte{0})
	h.Write([]byte(e.ContentType()))
	h.Write([]byte{0})
	h.Write(e.Data())
	if digest := e.Extension(event.ExtDataDigest); digest != "" && len(e.Data()) == 0 {
		h.Write([]byte{0})
		h.Write([]byte(digest))
	}
	return base64.RawStdEncoding.EncodeToString(h.Sum(nil)[:16])
}

// derived reports whether an id was derived from the event that caused it: then it is
// that of a handler that ran again, and made something else of it.
func derived(e event.Event) bool { return strings.HasPrefix(e.ID(), "d-") }
