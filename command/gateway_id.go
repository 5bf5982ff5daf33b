package command

import (
	"strings"

	"github.com/leat-go/leat/event"
)

// Ids of commands that came in over HTTP end with a mark of their owner. When an operation is
// forgotten, with its subject, the mark is all that tells whose it was: the owner is told that
// it is gone, and nobody else that it ever was.

// newID returns an id that no command has.
func newID(p Principal) string { return marked(event.NewID(), p) }

// keyID returns the id of the command that a principal calls by a key, in every process the
// same.
func keyID(p Principal, command, key string) string {
	return marked(event.DerivedID(p.Tenant, p.Subject, command+"\x00"+key, 0), p)
}

func marked(id string, p Principal) string { return id + "-" + mark(id, p) }

// markSize is 13 characters, 65 bits.
const markSize = 13

// mark follows from the id too, so that two ids of a subject don't show that they are of one.
func mark(id string, p Principal) string {
	d := event.DerivedID(p.Tenant, p.Subject, id, 1)
	return d[len(d)-markSize:]
}

// made reports whether an id is one that was made for a principal.
func (p Principal) made(id string) bool {
	i := strings.LastIndexByte(id, '-')
	return i > 0 && id[i+1:] == mark(id[:i], p)
}
