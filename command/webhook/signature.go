package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strings"
)

// The headers of a webhook, and how the signatures by HMAC-SHA256 begin.
const (
	headerID        = "Webhook-Id"
	headerTimestamp = "Webhook-Timestamp"
	headerSignature = "Webhook-Signature"

	version = "v1,"
)

// maxSignatures are looked at. A header has two while a secret changes.
const maxSignatures = 32

type signature [sha256.Size]byte

// sign returns the signature of a webhook: of its id, its timestamp and its body, separated
// by full stops.
func sign(key []byte, id, timestamp string, body []byte) signature {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return signature(mac.Sum(nil))
}

// signAll returns the header of the signatures by all keys.
func signAll(keys [][]byte, id, timestamp string, body []byte) string {
	all := make([]string, len(keys))
	for i, key := range keys {
		s := sign(key, id, timestamp, body)
		all[i] = version + base64.StdEncoding.EncodeToString(s[:])
	}
	return strings.Join(all, " ")
}

// signaturesIn returns the signatures of version 1 in a header. Those of other versions, and
// what is none, are passed over: a sender may sign in other ways too.
func signaturesIn(header string) []signature {
	var all []signature
	for text := range strings.SplitSeq(header, " ") {
		encoded, ok := strings.CutPrefix(text, version)
		if !ok || len(encoded) != base64.StdEncoding.EncodedLen(sha256.Size) {
			continue
		}
		raw, err := base64.StdEncoding.Strict().DecodeString(encoded)
		if err != nil || len(raw) != sha256.Size {
			continue
		}
		if all = append(all, signature(raw)); len(all) == maxSignatures {
			break
		}
	}
	return all
}
