package bus

import (
	"errors"
	"fmt"
	"mime"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/leat-go/leat/event"
)

// message is what the Bus knows about a Go type: how its values become events.
type message struct {
	goType  reflect.Type
	typ     string
	topic   string
	schema  string
	version string
	codec   event.Codec
	keyed   keyed
	err     error // the type can't be a message
}

// keyed says how a value tells its key.
type keyed uint8

const (
	keyNone keyed = iota
	keyByValue
	keyByPointer
)

type (
	typer  interface{ EventType() string }
	topicr interface{ EventTopic() string }
	keyer  interface{ EventKey() string }
)

// messageOf returns what is known about a type; pointers are looked through. The
// result is cached. Its err is set when the type can't be a message.
func (b *Bus) messageOf(t reflect.Type) *message {
	if m, ok := b.messages.get(t); ok {
		return m
	}
	base := t
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	m := b.describe(base)
	if m.err == nil {
		m = b.claim(m)
	}
	return b.messages.getOrPut(t, m)
}

// claim takes the name for the type; of two types with one name the second errs.
func (b *Bus) claim(m *message) *message {
	owner := b.names.getOrPut(m.typ, m)
	if owner.goType == m.goType {
		return owner
	}
	return &message{goType: m.goType, err: fmt.Errorf("bus: Go types %v and %v are both called %q: "+
		"give one another name with a method EventType() string", owner.goType, m.goType, m.typ)}
}

func (b *Bus) describe(t reflect.Type) (m *message) {
	m = &message{goType: t, codec: b.cfg.Codecs[0]}
	defer func() {
		if v := recover(); v != nil { // of a method on what is embedded, perhaps
			m.err = fmt.Errorf("bus: %v: EventType or EventTopic of its zero value panics: %v", t, v)
		}
	}()
	if c := b.cfg.Catalog; c != nil {
		if known, ok := c.Message(t); ok {
			m.fromCatalog(b, known)
		}
	}
	pointer := reflect.New(t).Interface()
	if m.typ == "" && m.err == nil {
		m.typ, m.err = typeName(t, pointer)
	}
	if tp, ok := pointer.(topicr); ok && m.topic == "" {
		m.topic = tp.EventTopic()
	}
	if m.topic == "" {
		m.topic = m.typ
	}
	if m.err == nil {
		m.err = checkName("topic", m.topic)
	}
	m.keyed = keyedBy(t, pointer)
	return m
}

func (m *message) fromCatalog(b *Bus, known event.Message) {
	m.typ, m.topic, m.schema, m.version = known.Type, known.Topic, known.Schema, known.SchemaVersion
	if known.ContentType == "" {
		return
	}
	m.codec = b.codecs[mediaType(known.ContentType)]
	if m.codec == nil {
		m.err = fmt.Errorf("bus: %v: no codec for content type %q of the catalog", m.goType, known.ContentType)
	}
}

func keyedBy(t reflect.Type, pointer any) keyed {
	if t.Implements(reflect.TypeFor[keyer]()) {
		return keyByValue
	}
	if _, ok := pointer.(keyer); ok {
		return keyByPointer
	}
	return keyNone
}

// key returns the key that a value tells.
func (m *message) key(v any) string {
	if m.keyed == keyNone {
		return ""
	}
	if k, ok := v.(keyer); ok { // a value with value receivers, or a pointer
		return k.EventKey()
	}
	p := reflect.New(m.goType)
	p.Elem().Set(reflect.ValueOf(v))
	return p.Interface().(keyer).EventKey() //nolint:forcetypeassert // keyByPointer
}

func typeName(t reflect.Type, pointer any) (string, error) {
	if t == reflect.TypeFor[event.Event]() {
		return "", errors.New("bus: event.Event is no message: publish the event itself, not a pointer; subscribe with SubscribeRaw")
	}
	if n, ok := pointer.(typer); ok {
		name := n.EventType()
		return name, checkName("event type", name)
	}
	name := t.Name()
	switch {
	case name == "" || t.PkgPath() == "":
		return "", fmt.Errorf("bus: type %v has no name of its own: declare a named type, or give it a method EventType() string", t)
	case slices.Contains(noData, t.Kind()):
		return "", fmt.Errorf("bus: type %v is no data: a message is a struct, or another type that can be encoded", t)
	case strings.ContainsRune(name, '['):
		return "", fmt.Errorf("bus: generic type %v needs a name: give it a method EventType() string", t)
	}
	return kebab(name), nil
}

// noData are the kinds that no codec encodes.
var noData = []reflect.Kind{reflect.Interface, reflect.Func, reflect.Chan, reflect.Pointer}

// kebab turns a Go name into kebab case: OrderPlaced → order-placed,
// HTTPRequest → http-request.
func kebab(name string) string {
	rs := []rune(name)
	var sb strings.Builder
	for i, r := range rs {
		startsWord := unicode.IsUpper(r) && i > 0 &&
			(!unicode.IsUpper(rs[i-1]) || i+1 < len(rs) && unicode.IsLower(rs[i+1]))
		if startsWord && rs[i-1] != '_' {
			sb.WriteByte('-')
		}
		if r == '_' {
			r = '-'
		}
		sb.WriteRune(unicode.ToLower(r))
	}
	return sb.String()
}

// maxName is the longest name of a topic, group or app. Engines whose brokers take
// less for the names that they make of these refuse them at start.
const maxName = 100

// checkName refuses names that brokers refuse: empty, long, or with other bytes
// than letters, digits, dot, hyphen and underscore.
func checkName(what, name string) error {
	if name == "" {
		return errors.New("bus: empty " + what)
	}
	if len(name) > maxName {
		return fmt.Errorf("bus: %s %q is longer than %d bytes", what, name[:maxName]+"…", maxName)
	}
	for _, r := range name {
		if r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._-", r) {
			return fmt.Errorf("bus: %s %q: only letters, digits, '.', '-' and '_' are allowed", what, name)
		}
	}
	return nil
}

// topicOf returns the topic of an event type.
func (b *Bus) topicOf(typ string) string {
	if c := b.cfg.Catalog; c != nil {
		if m, ok := c.MessageByType(typ); ok && m.Topic != "" {
			return m.Topic
		}
	}
	if m, ok := b.names.get(typ); ok {
		return m.topic
	}
	return typ
}

// mediaType drops the parameters of a content type.
func mediaType(contentType string) string {
	if mt, _, err := mime.ParseMediaType(contentType); err == nil {
		return mt
	}
	return contentType
}

func quote(s string) string { return strconv.Quote(s) }
