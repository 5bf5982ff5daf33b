package event

import (
	"encoding/binary"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Limits of an envelope. They hold for every event that is published, encoded or
// decoded; the data has the limit of the channel, see [Guarantees].
const (
	MaxAttributes      = 64       // context attributes of one event, extensions and specversion included
	MaxAttributeName   = 64       // bytes of an attribute's name
	MaxAttributeValue  = 8 << 10  // bytes of one attribute's value
	MaxAttributesBytes = 64 << 10 // bytes of all names and values together
)

// AttributeError names the attribute that makes an event invalid.
type AttributeError struct {
	Name   string // of the attribute; "data" and "" (the envelope itself) included
	Reason string // what is wrong with it
}

// Error names the attribute and says what is wrong with it.
func (e *AttributeError) Error() string {
	if e.Name == "" {
		return "event: envelope: " + e.Reason
	}
	return "event: attribute " + strconv.Quote(e.Name) + ": " + e.Reason
}

func badAttribute(name, reason string) error {
	return &AttributeError{Name: strings.Clone(name), Reason: reason} // the name may be a view of a buffer
}

// Validate reports, as an *[AttributeError], the first attribute that breaks
// CloudEvents 1.0.2 or a limit of this package: id, source and type are there,
// source is a URI reference, Schema an absolute URI, ContentType a media type,
// times are of the years 0 to 9999, names of extensions are lower-case letters
// and digits, and values are valid UTF-8 without control characters and
// noncharacters. The data is opaque and always valid.
func (e Event) Validate() error {
	c := e.core()
	if c.head.bad != nil {
		return c.head.bad
	}
	if err := checkRequired("id", e.ID()); err != nil {
		return err
	}
	if c.hasTime && !writable(c.sec) {
		return badAttribute("time", outOfYears)
	}
	if err := checkValue(ExtKey, c.key); err != nil {
		return err
	}
	if c.more == nil {
		return nil // attributes without rare ones can't break the limits of their sum
	}
	if err := c.more.validate(); err != nil {
		return err
	}
	count, size := e.envelope()
	if count > MaxAttributes {
		return badAttribute("", "more than "+strconv.Itoa(MaxAttributes)+" attributes")
	}
	if size > MaxAttributesBytes {
		return badAttribute("", "attributes of more than "+strconv.Itoa(MaxAttributesBytes)+" bytes")
	}
	return nil
}

const outOfYears = "outside the years 0 to 9999"

// envelope returns how many attributes there are, and the bytes of their names
// and values. A time counts with all digits of its nanoseconds.
func (e Event) envelope() (count, size int) {
	c := e.core()
	m := c.rare()
	add := func(name string, n int) {
		if n > 0 {
			count++
			size += len(name) + n
		}
	}
	add("specversion", len(SpecVersion))
	add("id", len(e.ID()))
	add(ExtKey, len(c.key))
	add("subject", len(m.subject))
	if c.hasTime {
		add("time", timeBytes)
	}
	if !m.notBefore.IsZero() {
		add(ExtNotBefore, timeBytes)
	}
	for _, x := range m.extensions {
		add(x.Name, len(x.Value))
	}
	return count + c.head.count, size + c.head.size
}

func (h *head) validate() error {
	if err := checkRequired("source", h.source); err != nil {
		return err
	}
	if err := checkReference("source", h.source, false); err != nil {
		return err
	}
	if err := checkRequired("type", h.typ); err != nil {
		return err
	}
	if err := checkValue("datacontenttype", h.contentType); err != nil {
		return err
	}
	if h.contentType != "" {
		if err := checkMediaType("datacontenttype", h.contentType); err != nil {
			return err
		}
	}
	if err := checkValue("dataschema", h.schema); err != nil || h.schema == "" {
		return err
	}
	return checkReference("dataschema", h.schema, true)
}

func (m *more) validate() error {
	if err := checkValue("subject", m.subject); err != nil {
		return err
	}
	if !m.notBefore.IsZero() && !writable(m.notBefore.Unix()) {
		return badAttribute(ExtNotBefore, outOfYears)
	}
	for _, x := range m.extensions {
		if err := checkExtension(x.Name); err != nil {
			return err
		}
		if x.Name == ExtNotBefore {
			return badAttribute(x.Name, notATime) // a readable one has a field of its own
		}
		if err := checkValue(x.Name, x.Value); err != nil {
			return err
		}
	}
	return nil
}

const notATime = "not a time of RFC 3339"

// checkExtension holds that a name is an extension's.
func checkExtension(name string) error {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64":
		return badAttribute(name, "is no extension: the name belongs to CloudEvents")
	}
	return checkName(name)
}

// checkName holds the naming convention of CloudEvents 1.0.2 (naming conventions).
func checkName(name string) error {
	if name == "" {
		return badAttribute("", "an attribute without a name")
	}
	if len(name) > MaxAttributeName {
		return badAttribute(name[:MaxAttributeName], "name longer than "+strconv.Itoa(MaxAttributeName)+" bytes")
	}
	for i := range len(name) {
		if b := name[i]; (b < 'a' || b > 'z') && (b < '0' || b > '9') {
			return badAttribute(name, "name must be lower-case letters and digits")
		}
	}
	return nil
}

func checkRequired(name, value string) error {
	if value == "" {
		return badAttribute(name, "missing or empty")
	}
	return checkValue(name, value)
}

// checkValue holds the type String of CloudEvents 1.0.2 (type system).
func checkValue(name, value string) error {
	if len(value) > MaxAttributeValue {
		return badAttribute(name, "longer than "+strconv.Itoa(MaxAttributeValue)+" bytes")
	}
	i := 0
	for ; i+8 <= len(value); i += 8 {
		if !printable8(value[i:]) {
			return checkRunes(name, value[i:])
		}
	}
	for ; i < len(value); i++ {
		if b := value[i]; b < 0x20 || b >= 0x7f {
			return checkRunes(name, value[i:])
		}
	}
	return nil
}

// printable8 reports whether the first 8 bytes of s are printable ASCII.
func printable8(s string) bool {
	x := binary.LittleEndian.Uint64(view8(s))
	del := x ^ bytes8*0x7f
	return (x-bytes8*0x20|x|(del-bytes8)&^del)&(bytes8*0x80) == 0
}

func checkRunes(name, value string) error {
	for i, r := range value {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(value[i:], "\uFFFD"):
			return badAttribute(name, "not valid UTF-8")
		case r < 0x20 || r >= 0x7f && r <= 0x9f:
			return badAttribute(name, "control character "+strconv.QuoteRuneToASCII(r))
		case r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe:
			return badAttribute(name, "noncharacter "+strconv.QuoteRuneToASCII(r))
		}
	}
	return nil
}

func quoteByte(b byte) string { return strconv.QuoteToASCII(string([]byte{b})) }
