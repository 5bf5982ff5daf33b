package event

import (
	"bytes"
	"slices"
	"strings"
	"time"
)

// Attributes is what can be said about a new event. The zero value of a field
// means that the event does not have the attribute, but for two: an empty ID
// becomes [NewID], a zero Time becomes now.
type Attributes struct {
	ID          string      // unique within the source
	Source      string      // a URI reference: who made it
	Type        string      // what happened
	Subject     string      // what within the source it is about
	Time        time.Time   // instants of the years 0 to 9999
	Key         string      // what order is kept by
	NotBefore   time.Time   // earliest delivery
	ContentType string      // media type of Data
	Schema      string      // an absolute URI
	Extensions  []Extension // in any order; of two with the same name the last counts, also against Key and NotBefore
	Data        []byte      // opaque
	KeepData    bool        // keep Data itself, not a copy: nobody may change the slice from now on
}

// New returns an event with a new id and the time of now. It keeps a copy of data.
// Whether an event is valid is checked when it is published or encoded, see
// [Event.Validate].
func New(source, typ string, data []byte) Event {
	return Attributes{Source: source, Type: typ, Data: data}.Event()
}

// Event returns the event that a describes.
func (a Attributes) Event() Event {
	rare := a.Subject != "" || !a.NotBefore.IsZero() || len(a.Extensions) > 0
	c := coreFor(rare, len(a.Extensions))
	c.head, c.key = intern(a.Source, a.Type, a.ContentType, a.Schema), a.Key
	c.self[0] = Event{c}
	var now time.Time
	if a.ID == "" || a.Time.IsZero() {
		now = time.Now() // once: it costs more than the rest
	}
	if a.ID == "" {
		c.idLen = uint8(putNewID(c.id[:], now))
	} else {
		c.setID(a.ID)
	}
	if a.Time.IsZero() {
		a.Time = now
	}
	c.setTime(a.Time)
	c.setData(a.Data, a.KeepData)
	if rare {
		m := c.more // nobody else's
		m.subject = a.Subject
		m.notBefore = instant(a.NotBefore)
		c.apply(m, a.Extensions)
	}
	return c.self[0]
}

// WithID returns a copy with another id.
func (e Event) WithID(id string) Event { return e.with(func(c *core) { c.setID(id) }) }

// WithSource returns a copy with another source.
func (e Event) WithSource(source string) Event {
	h := e.core().head
	return e.withHead(intern(source, h.typ, h.contentType, h.schema))
}

// WithType returns a copy with another type.
func (e Event) WithType(typ string) Event {
	h := e.core().head
	return e.withHead(intern(h.source, typ, h.contentType, h.schema))
}

// WithSubject returns a copy with another subject; "" removes it.
func (e Event) WithSubject(subject string) Event {
	return e.with(func(c *core) { c.ownMore().subject = subject })
}

// WithTime returns a copy with another time; the zero time removes it.
func (e Event) WithTime(t time.Time) Event { return e.with(func(c *core) { c.setTime(t) }) }

// WithKey returns a copy with another key; "" removes it.
func (e Event) WithKey(key string) Event { return e.with(func(c *core) { c.key = key }) }

// WithNotBefore returns a copy that is not delivered before t; the zero time removes it.
func (e Event) WithNotBefore(t time.Time) Event {
	return e.with(func(c *core) { c.ownMore().setNotBefore(t) })
}

// WithSchema returns a copy with another schema, an absolute URI; "" removes it.
func (e Event) WithSchema(uri string) Event {
	h := e.core().head
	return e.withHead(intern(h.source, h.typ, h.contentType, uri))
}

// WithData returns a copy with other data, of which it keeps a copy.
func (e Event) WithData(contentType string, data []byte) Event {
	h := e.core().head
	n := e.withHead(intern(h.source, h.typ, contentType, h.schema))
	if n.c.more != nil && n.c.data != nil {
		n.c.ownMore() // that of e may lie beside e's core, which keeps e's data
	}
	n.c.setData(data, false) // n is not shared yet
	return n
}

// WithExtension returns a copy with an extension attribute; the value "" removes
// it. Names are lower-case letters and digits; those of [ExtKey] and its neighbours
// have a meaning of their own.
func (e Event) WithExtension(name, value string) Event {
	return e.with(func(c *core) { c.setExtension(name, value) })
}

func (e Event) with(change func(*core)) Event {
	c := *e.core()
	c.self[0] = Event{&c}
	change(&c)
	return c.self[0]
}

func (e Event) withHead(h *head) Event { return e.with(func(c *core) { c.head = h }) }

func (c *core) setID(id string) {
	if len(id) <= inlineID {
		c.idLen = uint8(copy(c.id[:], id))
		if c.more != nil && c.more.id != "" {
			c.ownMore().id = ""
		}
		return
	}
	c.idLen = 0
	c.ownMore().id = id
}

func (c *core) setTime(t time.Time) {
	c.hasTime = !t.IsZero()
	if !c.hasTime {
		c.sec, c.nsec = 0, 0
		return
	}
	c.sec, c.nsec = t.Unix(), uint32(t.Nanosecond())
}

func (c *core) setData(data []byte, keep bool) {
	switch {
	case len(data) == 0:
		c.data = nil
	case keep:
		c.data = data
	default:
		c.data = bytes.Clone(data)
	}
}

// withRare is a core with rare attributes, and room for as many extensions as requests and
// answers have: one allocation instead of three.
type withRare struct {
	core core
	more more
	room [2]Extension
}

// coreFor returns the core of a new event, which has room for rare attributes if it has any.
func coreFor(rare bool, extensions int) *core {
	if !rare {
		return new(core)
	}
	w := new(withRare)
	w.core.more = &w.more
	if w.more.extensions = w.room[:0]; extensions > len(w.room) {
		w.more.extensions = make([]Extension, 0, extensions)
	}
	return &w.core
}

// ownMore returns the rare attributes for changing: a new copy that only c has.
func (c *core) ownMore() *more {
	m := *c.rare()
	m.extensions = slices.Clone(m.extensions)
	c.more = &m
	return c.more
}

func (c *core) setExtension(name, value string) { c.apply(c.ownMore(), []Extension{{name, value}}) }

// apply sets extensions in m, which is c's own.
func (c *core) apply(m *more, xs []Extension) {
	for _, x := range xs {
		switch x.Name {
		case ExtKey:
			c.key = x.Value
		case ExtNotBefore:
			m.setNotBefore(time.Time{})
			if sec, nsec, ok := parseTime([]byte(x.Value)); ok {
				m.setNotBefore(time.Unix(sec, int64(nsec)))
			} else {
				m.set(x) // stays visible, so that Validate can name it
			}
		default:
			m.set(x)
		}
	}
}

// setNotBefore replaces what there is, readable or not.
func (m *more) setNotBefore(t time.Time) {
	m.notBefore = instant(t)
	m.set(Extension{ExtNotBefore, ""})
}

func (m *more) set(x Extension) {
	if n := len(m.extensions); x.Value != "" && (n == 0 || m.extensions[n-1].Name < x.Name) {
		m.extensions = append(m.extensions, x) // as most come
		return
	}
	i, found := slices.BinarySearchFunc(m.extensions, x.Name, func(have Extension, name string) int {
		return strings.Compare(have.Name, name)
	})
	switch {
	case x.Value == "" && found:
		m.extensions = slices.Delete(m.extensions, i, i+1)
	case x.Value == "":
	case found:
		m.extensions[i].Value = x.Value
	default:
		m.extensions = slices.Insert(m.extensions, i, x)
	}
}
