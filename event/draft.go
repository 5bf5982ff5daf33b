package event

import (
	"strconv"
	"time"
	"unsafe"
)

// draft collects the attributes of an event that is being decoded. What it holds
// are views of the input: nothing is allocated for an attribute before all of
// them were looked at. The zero draft is ready for use.
type draft struct {
	version, id, source, typ, subject, contentType, schema, key string

	sec, notBeforeSec   int64
	nsec, notBeforeNsec uint32

	seen  uint16 // one bit for each known attribute
	count int    // attributes that were seen

	// The extensions in the order of their arrival, also those without a value. Most
	// events have few; a slice of the room would move the draft to the heap.
	extensions int
	room       [8]Extension
	rest       []Extension
}

// The known attributes, as bits of seen.
const (
	sawVersion uint16 = 1 << iota
	sawID
	sawSource
	sawType
	sawSubject
	sawTime
	sawContentType
	sawSchema
	sawKey
	sawNotBefore
	hasTime
	hasNotBefore

	sawExtension = sawKey | sawNotBefore
)

// known returns the bit of an attribute that has a field of its own, or 0.
func known(name string) uint16 {
	switch name {
	case "specversion":
		return sawVersion
	case "id":
		return sawID
	case "source":
		return sawSource
	case "type":
		return sawType
	case "subject":
		return sawSubject
	case "time":
		return sawTime
	case "datacontenttype":
		return sawContentType
	case "dataschema":
		return sawSchema
	case ExtKey:
		return sawKey
	case ExtNotBefore:
		return sawNotBefore
	}
	return 0
}

// see takes the name of the next attribute. It refuses one that was seen already,
// that can't be one, or that is one too many. What it returns is for set.
func (d *draft) see(name string) (bit uint16, err error) {
	if d.count++; d.count > MaxAttributes {
		return 0, badAttribute("", "more than "+strconv.Itoa(MaxAttributes)+" attributes")
	}
	if bit = known(name); bit != 0 {
		if d.seen&bit != 0 {
			return 0, badAttribute(name, "given twice")
		}
		d.seen |= bit
		return bit, nil
	}
	if err := checkExtension(name); err != nil {
		return 0, err
	}
	for i := range d.extensions {
		if d.extension(i).Name == name {
			return 0, badAttribute(name, "given twice")
		}
	}
	if d.extensions >= len(d.room) {
		d.rest = append(d.rest, Extension{})
	}
	d.extensions++
	d.extension(d.extensions - 1).Name = name
	return 0, nil
}

func (d *draft) extension(i int) *Extension {
	if i < len(d.room) {
		return &d.room[i]
	}
	return &d.rest[i-len(d.room)]
}

// set takes the value of the attribute that was seen last. It must stay as it is
// until event returns.
func (d *draft) set(name string, bit uint16, value string) error {
	if len(value) > MaxAttributeValue {
		return badAttribute(name, "longer than "+strconv.Itoa(MaxAttributeValue)+" bytes")
	}
	if value == "" {
		if bit&^sawExtension != 0 {
			return badAttribute(name, "empty")
		}
		return nil
	}
	switch bit {
	case sawVersion:
		d.version = value
	case sawID:
		d.id = value
	case sawSource:
		d.source = value
	case sawType:
		d.typ = value
	case sawSubject:
		d.subject = value
	case sawContentType:
		d.contentType = value
	case sawSchema:
		d.schema = value
	case sawKey:
		d.key = value
	case sawTime, sawNotBefore:
		return d.setTime(name, bit, value)
	default:
		d.extension(d.extensions - 1).Value = value
	}
	return nil
}

func (d *draft) setTime(name string, bit uint16, value string) error {
	sec, nsec, ok := parseTime(unsafe.Slice(unsafe.StringData(value), len(value)))
	if !ok {
		return badAttribute(name, notATime)
	}
	if sec == zeroSecond && nsec == 0 {
		return nil // the zero time stands for none
	}
	if bit == sawTime {
		d.sec, d.nsec, d.seen = sec, nsec, d.seen|hasTime
	} else {
		d.notBeforeSec, d.notBeforeNsec, d.seen = sec, nsec, d.seen|hasNotBefore
	}
	return nil
}

// zeroSecond is the second of the zero time.
const zeroSecond = -62135596800

// head returns the head of the event, once all attributes are there.
func (d *draft) head() (*head, error) {
	switch d.version {
	case SpecVersion:
		return intern(d.source, d.typ, d.contentType, d.schema), nil
	case "":
		return nil, badAttribute("specversion", "missing")
	}
	return nil, badAttribute("specversion", "unknown version "+strconv.QuoteToASCII(cut(d.version, 16)))
}

// event returns the event with the attributes of the draft, which it copies, and
// with data, which it keeps.
func (d *draft) event(h *head, data []byte) (Event, error) {
	c := &core{head: h}
	c.self[0] = Event{c}
	c.hasTime, c.sec, c.nsec = d.seen&hasTime != 0, d.sec, d.nsec
	if len(data) > 0 {
		c.data = data
	}
	texts := d.texts()
	c.key = texts.take(d.key)
	if len(d.id) <= inlineID {
		c.idLen = uint8(copy(c.id[:], d.id))
	}
	if len(d.id) > inlineID || d.subject != "" || d.seen&hasNotBefore != 0 || d.valued() > 0 {
		c.more = d.more(&texts)
	}
	if err := c.self[0].Validate(); err != nil {
		return Event{}, err
	}
	return c.self[0], nil
}

// valued counts the extensions that have a value.
func (d *draft) valued() (n int) {
	for i := range d.extensions {
		if d.extension(i).Value != "" {
			n++
		}
	}
	return n
}

// more returns the rare attributes.
func (d *draft) more(t *texts) *more {
	// Both in one allocation: few events have more than four extensions.
	both := &struct {
		more

		room [4]Extension
	}{}
	m := &both.more
	if len(d.id) > inlineID {
		m.id = t.take(d.id)
	}
	m.subject = t.take(d.subject)
	if d.seen&hasNotBefore != 0 {
		m.notBefore = time.Unix(d.notBeforeSec, int64(d.notBeforeNsec)).UTC()
	}
	m.extensions = both.room[:0]
	if n := d.valued(); n > len(both.room) {
		m.extensions = make([]Extension, 0, n)
	}
	for i := range d.extensions {
		x := d.extension(i)
		if x.Value == "" {
			continue
		}
		name := knownExtension(x.Name)
		if name == "" {
			name = t.take(x.Name)
		}
		m.set(Extension{name, t.take(x.Value)})
	}
	return m
}

// knownExtension returns the name itself when it is one of leat's, else "".
func knownExtension(name string) string {
	switch name {
	case ExtTraceparent:
		return ExtTraceparent
	case ExtTracestate:
		return ExtTracestate
	case ExtCorrelationID:
		return ExtCorrelationID
	case ExtCausationID:
		return ExtCausationID
	case ExtTenant:
		return ExtTenant
	case ExtSchemaVersion:
		return ExtSchemaVersion
	}
	return ""
}

// texts copies strings into one allocation.
type texts struct{ b []byte }

// texts returns room for all strings that the event will keep.
func (d *draft) texts() texts {
	n := len(d.key) + len(d.subject)
	if len(d.id) > inlineID {
		n += len(d.id)
	}
	for i := range d.extensions {
		x := d.extension(i)
		if x.Value == "" {
			continue
		}
		n += len(x.Value)
		if knownExtension(x.Name) == "" {
			n += len(x.Name)
		}
	}
	if n == 0 {
		return texts{}
	}
	return texts{make([]byte, 0, n)}
}

// take returns a copy of s. The copies share their room, which never grows.
func (t *texts) take(s string) string {
	if s == "" {
		return ""
	}
	from := len(t.b)
	t.b = append(t.b, s...)
	return view(t.b[from:])
}
