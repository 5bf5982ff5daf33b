package idempotency

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"

	"github.com/leat-go/leat/event"
)

// Key names what is to have its effect once. Keys are equal when all their fields are.
type Key struct {
	Group  string // who handles: each group has its own effect
	Tenant string // whose it is; "" where there are none
	Source string // of the event
	ID     string // of the event within its source
}

// KeyOf returns the key of an event that a group handles.
func KeyOf(group string, e event.Event) Key {
	return Key{Group: group, Tenant: e.Extension(event.ExtTenant), Source: e.Source(), ID: e.ID()}
}

// StringKey returns the key of something that is no event: a request, a file, a day.
func StringKey(s string) Key { return Key{ID: s} }

// longestKey is how long String may be, in bytes: stores index it.
const longestKey = 256

// String returns the key as one string, the same for equal keys alone; what would be
// longer than 256 bytes ends in a SHA-256 instead. Stores keep records by it.
func (k Key) String() string {
	var b strings.Builder
	for i, part := range [...]string{k.Group, k.Tenant, k.Source, k.ID} {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(escape.Replace(part))
	}
	s := b.String()
	if len(s) <= longestKey {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	hash := base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:])
	return strings.ToValidUTF8(s[:longestKey-len(hash)-1], "") + "#" + hash
}

var escape = strings.NewReplacer("%", "%25", "|", "%7C", "#", "%23")
