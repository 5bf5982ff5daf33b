package watermillbridge

import (
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// The metadata that stands for attributes of an event.
const (
	MetadataType        = "ce_type"
	MetadataSource      = "ce_source"
	MetadataSubject     = "ce_subject"
	MetadataTime        = "ce_time" // RFC 3339
	MetadataContentType = "ce_datacontenttype"
	MetadataSchema      = "ce_dataschema"
	MetadataKey         = event.ExtKey // what order is kept by
)

const (
	correlation = "correlation_id" // as Watermill's middlewares write it
	cqrsName    = "name"           // as Watermill's cqrs writes it
)

// fromMessage returns the event of a message. Its type and source are those that it
// says, else typ and source.
func fromMessage(m *message.Message, source, typ string) (event.Event, error) {
	a := event.Attributes{ID: m.UUID, Source: source, Type: typ, Data: m.Payload}
	var others texts
	for name, value := range m.Metadata {
		if value == "" || said(m, name) {
			put(&others, name, value)
			continue
		}
		switch name {
		case MetadataType:
			a.Type = value
		case MetadataSource:
			a.Source = value
		case MetadataSubject:
			a.Subject = value
		case MetadataContentType:
			a.ContentType = value
		case MetadataSchema:
			a.Schema = value
		case MetadataKey, "ce_" + MetadataKey:
			a.Key = value
		case MetadataTime:
			at, err := time.Parse(time.RFC3339Nano, value)
			if err != nil {
				return event.Event{}, fmt.Errorf("watermillbridge: metadata %s of message %q is no time: %w", name, m.UUID, err)
			}
			a.Time = at
		case "ce_specversion":
		case "ce_id":
			a.ID = value
		default:
			of, isName := extensionOf(name)
			if !isName || !fits(value) {
				put(&others, name, value)
				continue
			}
			a.Extensions = append(a.Extensions, event.Extension{Name: of, Value: value})
		}
	}
	spill(&a, &others)
	if others != nil {
		if err := addRest(&a, others); err != nil {
			return event.Event{}, fmt.Errorf("watermillbridge: metadata of message %q: %w", m.UUID, err)
		}
	}
	return a.Event(), nil
}

// invalid returns the error of a message that is no valid event. It tells how much
// metadata there is, since there may be too much.
func invalid(m *message.Message, topic string, err error) error {
	size := sizeOf(m) - len(m.UUID) - len(m.Payload)
	return fmt.Errorf("watermillbridge: message %q with %d bytes of metadata, topic %q: %w", m.UUID, size, topic, err)
}

func put(m *texts, name, value string) {
	if *m == nil {
		*m = make(texts)
	}
	(*m)[name] = value
}

// attributes are names that no extension has.
var attributes = map[string]bool{
	"id": true, "source": true, "specversion": true, "type": true, "subject": true, "time": true,
	"datacontenttype": true, "dataschema": true, "data": true, "database64": true,
}

// isOwn reports whether metadata can't have this name as an extension's: it is that of an
// attribute by another name, or is read back otherwise.
func isOwn(name string) bool {
	return isRest(name) || name == event.ExtCorrelationID || name == event.ExtNotBefore
}

// said reports whether other metadata says already what name stands for.
func said(m *message.Message, name string) bool {
	of, ok := strings.CutPrefix(name, "ce_")
	switch {
	case !ok || attributes[of]:
		return false
	case of == event.ExtCorrelationID:
		return m.Metadata[correlation] != ""
	}
	return m.Metadata[of] != ""
}

// fits reports whether an attribute can have this value.
func fits(value string) bool {
	e := event.Attributes{ID: "x", Source: "/x", Type: "x", Key: value}.Event()
	return e.Validate() == nil
}

// extensionOf returns the name of the extension that metadata is, by that name or as
// CloudEvents bindings write it.
func extensionOf(name string) (string, bool) {
	if name == correlation || name == "ce_"+event.ExtCorrelationID {
		return event.ExtCorrelationID, true
	}
	if of, ok := strings.CutPrefix(name, "ce_"); ok && !attributes[of] && !isOwn(of) && isName(of) {
		return of, true
	}
	return name, isExtension(name)
}

// isExtension reports whether metadata can be an extension of the same name.
func isExtension(name string) bool {
	return len(name) <= 20 && !isOwn(name) && !attributes[name] && isName(name)
}

// isName reports whether an attribute can have this name.
func isName(name string) bool {
	for _, c := range []byte(name) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// toMessage returns the message of an event.
func toMessage(e event.Event) *message.Message {
	m := message.NewMessage(e.ID(), e.Data())
	for name, value := range map[string]string{
		MetadataType: e.Type(), MetadataSource: e.Source(), MetadataSubject: e.Subject(),
		MetadataContentType: e.ContentType(), MetadataSchema: e.Schema(),
	} {
		if value != "" {
			m.Metadata[name] = value
		}
	}
	if at := e.Time(); !at.IsZero() {
		m.Metadata[MetadataTime] = at.Format(time.RFC3339Nano)
	}
	others, parts := restOf(e)
	for name, value := range e.Extensions() {
		switch name {
		case event.ExtCorrelationID:
			m.Metadata[correlation] = value
		case event.ExtNotBefore: // it is past: who publishes the message again doesn't mean it
		default:
			m.Metadata[name] = value
		}
	}
	for n := range parts {
		delete(m.Metadata, restName(n))
	}
	maps.Copy(m.Metadata, others)
	return m
}
