package bridgekafka

import (
	"github.com/IBM/sarama"
	wkafka "github.com/ThreeDotsLabs/watermill-kafka/v3/pkg/kafka"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// marshaler is Watermill's own, with the event's key as the record's. An event without
// one has none: an empty one would be a key like another.
type marshaler struct{ wkafka.DefaultMarshaler }

// Marshal returns the record of a message.
func (d marshaler) Marshal(topic string, m *message.Message) (*sarama.ProducerMessage, error) {
	r, err := d.DefaultMarshaler.Marshal(topic, m)
	if err != nil {
		return nil, err
	}
	if key := watermillbridge.Key(m); key != "" {
		r.Key = sarama.StringEncoder(key)
	}
	return r, nil
}

// Unmarshal returns the message of a record. A key that another client wrote is the
// event's, where the record says no other.
func (d marshaler) Unmarshal(r *sarama.ConsumerMessage) (*message.Message, error) {
	m, err := d.DefaultMarshaler.Unmarshal(r)
	if err != nil {
		return nil, err
	}
	if len(r.Key) > 0 && watermillbridge.Key(m) == "" {
		if keyed := (event.Attributes{ID: "x", Source: "/x", Type: "x", Key: string(r.Key)}).Event(); keyed.Validate() == nil {
			m.Metadata["ce_"+event.ExtKey] = string(r.Key)
		}
	}
	return m, nil
}
