package event

import (
	"bytes"
	"iter"
	"slices"
	"time"
	"unsafe"
)

// SpecVersion is the version of the CloudEvents specification that an Event follows.
const SpecVersion = "1.0"

// Event is an immutable fact that happened, or a message that asks (a command,
// a request). It carries the context attributes of CloudEvents 1.0.2, extension
// attributes, and data that leat never looks into.
//
// An Event is a small value around a pointer: copy it, share it between
// goroutines, compare it with [Event.Equal]. The With… methods return a changed
// copy. The zero Event has no attributes and is not valid.
type Event struct{ c *core }

// inlineID is the longest id that the core holds without an allocation of its
// own: a ULID has 26 bytes, a derived id 28.
const inlineID = 28

// core is what all copies of an Event share. It is never changed after it was
// handed out. Attributes that most events of a type have in common sit behind
// head, rare ones behind more, so that the core is one allocation of 112 bytes.
type core struct {
	id      [inlineID]byte
	idLen   uint8
	hasTime bool
	nsec    uint32
	sec     int64
	head    *head
	data    []byte
	key     string
	more    *more
	self    [1]Event
}

// more holds the attributes that most events don't have.
type more struct {
	id         string // set when it does not fit the core
	subject    string
	notBefore  time.Time
	extensions []Extension // sorted by name, without the key and a readable notbefore
}

var (
	noMore more
	noCore = core{head: noHead, more: &noMore}
)

func (e Event) core() *core {
	if e.c == nil {
		return &noCore
	}
	return e.c
}

func (c *core) rare() *more {
	if c.more == nil {
		return &noMore
	}
	return c.more
}

// IsZero reports whether e is the zero Event.
func (e Event) IsZero() bool { return e.c == nil }

// ID returns the id, which is unique within the source.
func (e Event) ID() string {
	c := e.core()
	if m := c.rare(); m.id != "" {
		return m.id
	}
	if c.idLen == 0 {
		return ""
	}
	// The core is never changed after it was handed out, so the string is as
	// immutable as any other.
	return unsafe.String(&c.id[0], int(c.idLen))
}

// Source returns the source, a URI reference that names where the event happened.
func (e Event) Source() string { return e.core().head.source }

// Type returns the type, for example "order-placed".
func (e Event) Type() string { return e.core().head.typ }

// Subject returns the subject within the source, or "".
func (e Event) Subject() string { return e.core().rare().subject }

// Time returns when the event happened, in UTC, or the zero time.
func (e Event) Time() time.Time {
	c := e.core()
	if !c.hasTime {
		return time.Time{}
	}
	return time.Unix(c.sec, int64(c.nsec)).UTC()
}

// Key returns the key that order is kept by (the extension partitionkey), or "".
func (e Event) Key() string { return e.core().key }

// NotBefore returns the time before which the event must not be delivered (the
// extension notbefore), in UTC, or the zero time.
func (e Event) NotBefore() time.Time { return e.core().rare().notBefore }

// ContentType returns the media type of the data (datacontenttype), or "".
func (e Event) ContentType() string { return e.core().head.contentType }

// Schema returns the URI of the schema that the data follows (dataschema), or "".
func (e Event) Schema() string { return e.core().head.schema }

// Data returns the data as it was published. The slice is shared by everyone who
// holds the event: it must not be changed.
func (e Event) Data() []byte {
	return slices.Clip(e.core().data)
}

// Extension returns the value of an extension attribute, or "". The key and
// NotBefore are found under their names too.
func (e Event) Extension(name string) string {
	c := e.core()
	m := c.rare()
	switch {
	case name == ExtKey:
		return c.key
	case name == ExtNotBefore && !m.notBefore.IsZero():
		return formatTime(m.notBefore)
	}
	for _, x := range m.extensions {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// Extensions yields names and values of the extension attributes sorted by name,
// the key and NotBefore included.
func (e Event) Extensions() iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		c := e.core()
		m := c.rare()
		next := func(x Extension) bool { return x.Value == "" || yield(x.Name, x.Value) }
		own := [...]Extension{{ExtNotBefore, formatTime(m.notBefore)}, {ExtKey, c.key}} // sorted too
		i := 0
		for _, x := range m.extensions {
			for ; i < len(own) && own[i].Name < x.Name; i++ {
				if !next(own[i]) {
					return
				}
			}
			if !next(x) {
				return
			}
		}
		for ; i < len(own); i++ {
			if !next(own[i]) {
				return
			}
		}
	}
}

// Equal reports whether e and o have the same attributes and the same data. Times
// are compared as instants; no data and empty data are the same.
func (e Event) Equal(o Event) bool {
	if e.c == o.c {
		return true
	}
	a, b := e.core(), o.core()
	if !a.head.equal(b.head) || a.key != b.key || e.ID() != o.ID() {
		return false
	}
	if a.hasTime != b.hasTime || a.sec != b.sec || a.nsec != b.nsec {
		return false
	}
	return a.rare().equal(b.rare()) && bytes.Equal(a.data, b.data)
}

func (m *more) equal(o *more) bool {
	if m == o {
		return true
	}
	if m.subject != o.subject || !m.notBefore.Equal(o.notBefore) || len(m.extensions) != len(o.extensions) {
		return false
	}
	for i, x := range m.extensions {
		if x != o.extensions[i] {
			return false
		}
	}
	return true
}

// One returns a slice that holds just e, without an allocation: the argument of
// a [Producer.Produce] of one event. It is shared: it must not be changed.
func (e Event) One() []Event {
	if e.c == nil {
		return []Event{e}
	}
	return e.c.self[:]
}

// String names the event for logs: type, source and id, never its data.
func (e Event) String() string {
	return e.Type() + " " + e.Source() + " " + e.ID()
}
