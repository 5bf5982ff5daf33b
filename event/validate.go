package event

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Limits of an envelope. They hold for every event that is published, encoded or
// decoded; the data has the limit of the channel, see [Guarantees].
const (
	MaxAttributes      = 64       // context attributes of one event, extensions included
	MaxAttributeName   = 64       // bytes of an attribute's name
	MaxAttributeValue  = 8 << 10  // bytes of one attribute's value
	MaxAttributesBytes = 64 << 10 // bytes of all names and values together
)

// requiredAttributes counts specversion, id, source and type.
const requiredAttributes = 4

// AttributeError names the attribute that makes an event invalid.
type AttributeError struct {
	Name   string // of the attribute; "data" and "" (the envelope itself) included
	Reason string
}

func (e *AttributeError) Error() string {
	if e.Name == "" {
		return "event: envelope: " + e.Reason
	}
	return "event: attribute " + strconv.Quote(e.Name) + ": " + e.Reason
}

func badAttribute(name, reason string) error { return &AttributeError{Name: name, Reason: reason} }

// Validate reports, as an *[AttributeError], the first attribute that breaks
// CloudEvents 1.0.2 §3 (required attributes, names of lower-case letters and
// digits, values without control characters and in valid UTF-8) or a limit of
// this package. The data is opaque and always valid.
func (e Event) Validate() error {
	c := e.core()
	if err := c.head.validate(); err != nil {
		return err
	}
	if err := checkRequired("id", e.ID()); err != nil {
		return err
	}
	if c.hasTime {
		if y := time.Unix(c.sec, 0).UTC().Year(); y < 0 || y > 9999 {
			return badAttribute("time", "outside the years 0 to 9999")
		}
	}
	if err := checkValue(ExtKey, c.key); err != nil {
		return err
	}
	if c.more == nil {
		return nil
	}
	return c.more.validate(c.head.bytes() + len(e.ID()) + len(c.key))
}

func (h *head) validate() error {
	if err := checkRequired("source", h.source); err != nil {
		return err
	}
	if err := checkRequired("type", h.typ); err != nil {
		return err
	}
	if err := checkValue("datacontenttype", h.contentType); err != nil {
		return err
	}
	return checkValue("dataschema", h.schema)
}

func (m *more) validate(size int) error {
	if err := checkValue("subject", m.subject); err != nil {
		return err
	}
	if y := m.notBefore.Year(); y < 0 || y > 9999 {
		return badAttribute(ExtNotBefore, "outside the years 0 to 9999")
	}
	if len(m.extensions)+requiredAttributes > MaxAttributes {
		return badAttribute("", "more than "+strconv.Itoa(MaxAttributes)+" attributes")
	}
	for _, x := range m.extensions {
		if err := checkExtension(x); err != nil {
			return err
		}
		size += len(x.Name) + len(x.Value)
	}
	if size > MaxAttributesBytes {
		return badAttribute("", "attributes of more than "+strconv.Itoa(MaxAttributesBytes)+" bytes")
	}
	return nil
}

func checkExtension(x Extension) error {
	if err := checkName(x.Name); err != nil {
		return err
	}
	switch x.Name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64":
		return badAttribute(x.Name, "is no extension: the name belongs to CloudEvents")
	case ExtNotBefore:
		return badAttribute(x.Name, "not a time of RFC 3339")
	}
	return checkValue(x.Name, x.Value)
}

// checkName holds the naming convention of CloudEvents 1.0.2 §3 (attribute names).
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

// checkValue holds the type String of CloudEvents 1.0.2 §3 (type system).
func checkValue(name, value string) error {
	if len(value) > MaxAttributeValue {
		return badAttribute(name, "longer than "+strconv.Itoa(MaxAttributeValue)+" bytes")
	}
	for i := 0; i < len(value); i++ {
		b := value[i]
		if b >= 0x20 && b < 0x7f {
			continue
		}
		if b < utf8.RuneSelf {
			return badAttribute(name, "control character "+strconv.QuoteRuneToASCII(rune(b)))
		}
		return checkRunes(name, value[i:])
	}
	return nil
}

func checkRunes(name, value string) error {
	for i, r := range value {
		switch {
		case r == utf8.RuneError && !validErrorRune(value[i:]):
			return badAttribute(name, "not valid UTF-8")
		case r < 0x20 || r >= 0x7f && r <= 0x9f:
			return badAttribute(name, "control character "+strconv.QuoteRuneToASCII(r))
		case r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe:
			return badAttribute(name, "noncharacter "+strconv.QuoteRuneToASCII(r))
		}
	}
	return nil
}

// validErrorRune tells a U+FFFD that was written from one that stands for bad bytes.
func validErrorRune(s string) bool {
	_, size := utf8.DecodeRuneInString(s)
	return size > 1
}
