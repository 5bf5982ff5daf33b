package bridgeamqp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// A message is on the wire as services on watermill-amqp have it: its UUID and its
// metadata are headers, its payload is the body.
const (
	uuidHeader = amqp.DefaultMessageUUIDHeaderKey
	// spilt is how many bytes of metadata, as JSON, come before the payload.
	spilt = "leat_metadata"
	// mostHeaders is how many bytes of headers a message has. All of them travel in one
	// frame, of 128 KiB unless the broker is told otherwise, and who sends a larger one
	// loses the connection. So more of them go into the body.
	mostHeaders = 64 << 10
)

// marshal returns what is sent of a message.
func marshal(m *message.Message) (amqp091.Publishing, error) {
	out := amqp091.Publishing{Headers: make(amqp091.Table), Body: m.Payload, DeliveryMode: amqp091.Persistent}
	size := 0
	for name, value := range m.Metadata {
		out.Headers[name] = value
		size += len(name) + len(value) + 6
		if len(name) > longest { // the client library cuts it
			size = mostHeaders + 1
			break
		}
	}
	if size > mostHeaders {
		text, err := json.Marshal(m.Metadata)
		if err != nil {
			return amqp091.Publishing{}, fmt.Errorf("metadata: %w", err)
		}
		out.Headers = amqp091.Table{spilt: strconv.Itoa(len(text))}
		out.Body = slices.Concat(text, m.Payload)
	}
	out.Headers[uuidHeader] = m.UUID
	return out, nil
}

// unmarshal returns the message of a delivery, whatever it holds: one that were refused
// would come again for ever. Headers that are no text become text.
func unmarshal(d amqp091.Delivery) *message.Message {
	m := message.NewMessage(d.MessageId, d.Body)
	for name, value := range d.Headers {
		m.Metadata[name] = text(value)
	}
	if uuid, ok := m.Metadata[uuidHeader]; ok {
		m.UUID = uuid
		delete(m.Metadata, uuidHeader)
	}
	if n, err := strconv.Atoi(m.Metadata[spilt]); err == nil && n >= 0 && n <= len(d.Body) {
		var all map[string]string
		if json.Unmarshal(d.Body[:n], &all) == nil {
			m.Metadata, m.Payload = all, d.Body[n:]
		}
	}
	return m
}

// text returns a header's value as text.
func text(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []byte:
		return string(v)
	case time.Time:
		return v.UTC().Format(time.RFC3339)
	case nil, amqp091.Table, []any:
		b, err := json.Marshal(v)
		if err == nil {
			return string(b)
		}
	}
	return fmt.Sprint(value)
}

// reader reads the deliveries of a subscription, one after the other, and ends it when
// their channel of AMQP is closed or the broker cancels its consumer: the library doesn't
// notice while a message is handled.
type reader struct {
	ctx context.Context
	end context.CancelFunc
	of  *amqp091.Channel
}

// Marshal is not called: a subscription publishes nothing.
func (*reader) Marshal(*message.Message) (amqp091.Publishing, error) {
	return amqp091.Publishing{}, errors.ErrUnsupported
}

// errNoDelivery is the error of what the library takes for a message when its channel of
// deliveries is closed.
var errNoDelivery = errors.New("no more deliveries")

// Unmarshal returns the message of a delivery. After an error the library gives it back.
func (r *reader) Unmarshal(d amqp091.Delivery) (*message.Message, error) {
	ch, ok := d.Acknowledger.(*amqp091.Channel)
	if !ok {
		return nil, errNoDelivery
	}
	if ch != r.of {
		r.of = ch
		over := ch.NotifyCancel(make(chan string, 1)) // and closed with the channel
		go func() {
			<-over
			r.end()
		}()
	}
	return unmarshal(d), r.ctx.Err()
}
