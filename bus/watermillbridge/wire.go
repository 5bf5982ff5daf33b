package watermillbridge

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// An event is a message in the binary mode of the Kafka binding of CloudEvents, with
// metadata for headers, or one in structured mode.
const (
	contentType = "content-type"
	structured  = "application/cloudevents+json"
	ownPrefix   = "leat_"
	accepted    = ownPrefix + "accepted" // when it was published, in ms since 1970
	marked      = ownPrefix + "mark"     // in a redrive topic: why it comes again
	letterMeta  = ownPrefix + "letter"   // in a dead-letter topic: the handle
)

// reader decodes events.
var reader = event.Decoder{MaxBytes: -1}

// Encode returns the message of an event as a channel of this package publishes it, with
// the attributes as metadata (ce_id, ce_type, …). Services on plain Watermill publish it
// for services on leat. An invalid event is refused with an [event.AttributeError].
func Encode(e event.Event) (*message.Message, error) {
	hs, err := event.AppendHeaders(nil, event.KafkaHeaders, e)
	if err != nil {
		return nil, err
	}
	m := message.NewMessage(uuidOf(e), e.Data())
	for _, h := range hs {
		m.Metadata[h.Key] = string(h.Value)
	}
	return m, nil
}

// encodeWhole returns the message of an event with all of it in the payload.
func encodeWhole(e event.Event) (*message.Message, error) {
	text, err := event.AppendJSON(nil, e)
	if err != nil {
		return nil, err
	}
	m := message.NewMessage(uuidOf(e), text)
	m.Metadata[contentType], m.Metadata[MetadataType] = structured, e.Type() // to filter by
	if key := e.Key(); key != "" {
		m.Metadata["ce_"+event.ExtKey] = key
	}
	return m, nil
}

// encode returns the message of an event for the pub/sub.
func (ch *Channel) encode(e event.Event, mark event.Mark) (m *message.Message, err error) {
	if ch.ps.Envelope {
		m, err = encodeWhole(e)
	} else {
		m, err = Encode(e)
	}
	if err != nil {
		return nil, err
	}
	m.Metadata[accepted] = strconv.FormatInt(time.Now().UnixMilli(), 10)
	switch mark {
	case event.MarkRedriven:
		m.Metadata[marked] = "redriven"
	case event.MarkReplayed:
		m.Metadata[marked] = "replayed"
	case event.MarkNone:
	}
	return m, nil
}

// uuidOf returns the UUID of an event's message: its id, where any broker takes that.
func uuidOf(e event.Event) string {
	id := e.ID()
	plain := len(id) <= 128 && !strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' })
	if plain {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:16])
}

// ErrNoID is returned for a message that has neither an attribute id nor a UUID: nobody
// could tell it from its repetition.
var ErrNoID = errors.New("watermillbridge: the message has neither ce_id nor a UUID")

// Decode returns the event of a message, in either mode. One of a service that knows
// nothing of events is an event with the message's UUID as its id; see Messages and
// events. topic is that of the message.
func Decode(topic string, m *message.Message) (event.Event, error) {
	var hs []event.Header
	said := make(message.Metadata) // by its publisher, not by the channel
	isEvent := strings.HasPrefix(m.Metadata[contentType], "application/cloudevents")
	for name, value := range m.Metadata {
		switch {
		case strings.HasPrefix(name, ownPrefix):
			continue
		case name == "ce_specversion":
			isEvent = true
		}
		hs = append(hs, event.Header{Key: name, Value: []byte(value)})
		said[name] = value
	}
	if isEvent {
		return reader.ParseHeaders(event.KafkaHeaders, hs, m.Payload)
	}
	if m.UUID == "" && m.Metadata["ce_id"] == "" {
		return event.Event{}, ErrNoID
	}
	plain := message.NewMessage(m.UUID, m.Payload)
	plain.Metadata = said
	e, err := fromMessage(plain, defaultSource, typeOf(topic, m))
	if err != nil {
		return event.Event{}, err
	}
	if said[MetadataTime] == "" { // else it had another one each time
		e = e.WithTime(time.Time{})
	}
	if err := e.Validate(); err != nil {
		return event.Event{}, invalid(plain, topic, err)
	}
	return e, nil
}

// typeOf returns the type of a message that says none: that of Watermill's cqrs, else
// the topic's.
func typeOf(topic string, m *message.Message) string { return cmp.Or(m.Metadata[cqrsName], topic) }

// Key returns what order is kept by, for publishers that ask: the event's partitionkey,
// and one and the same for all dead letters of a group. "" is none.
func Key(m *message.Message) string {
	if m.Metadata[letterMeta] != "" {
		return "letters"
	}
	return cmp.Or(m.Metadata["ce_"+event.ExtKey], m.Metadata[event.ExtKey])
}

// delivery returns what a consumer hands out of a message, but for the token.
func delivery(topic string, again bool, m *message.Message) event.Delivery {
	d := event.Delivery{Topic: topic, Attempt: 1}
	if ms, err := strconv.ParseInt(m.Metadata[accepted], 10, 64); err == nil {
		d.EnqueuedAt = time.UnixMilli(ms)
	}
	if again {
		d.Redriven, d.Replayed = m.Metadata[marked] == "redriven", m.Metadata[marked] == "replayed"
	}
	if d.Event, d.Err = Decode(topic, m); d.Err != nil {
		d.Raw = m.Payload
	}
	return d
}
