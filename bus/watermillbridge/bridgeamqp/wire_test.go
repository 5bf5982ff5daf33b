package bridgeamqp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill-amqp/v3/pkg/amqp"
	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/bridgeamqp"
)

// received is what comes of what was sent.
func received(out amqp091.Publishing) amqp091.Delivery {
	return amqp091.Delivery{Headers: out.Headers, Body: out.Body, MessageId: out.MessageId}
}

// Services on watermill-amqp read what leat sends, and the other way round.
func TestSameOnTheWire(t *testing.T) {
	var library amqp.DefaultMarshaler
	m := message.NewMessage("uuid", message.Payload("payload"))
	m.Metadata["name"], m.Metadata["empty"] = "value", ""
	out, err := bridgeamqp.Marshal(m)
	require.NoError(t, err)
	require.Equal(t, amqp091.Persistent, out.DeliveryMode)
	theirs, err := library.Unmarshal(received(out))
	require.NoError(t, err)
	require.True(t, m.Equals(theirs))
	out, err = library.Marshal(m)
	require.NoError(t, err)
	require.True(t, m.Equals(bridgeamqp.Unmarshal(received(out))))
}

// Metadata that doesn't fit into a frame, or has a name that the client library would
// cut, comes all the same.
func TestMuchMetadata(t *testing.T) {
	for name, metadata := range map[string]message.Metadata{
		"much":      {"ce_type": "order-placed", "long": strings.Repeat(`"<\`, 60<<10)},
		"long name": {strings.Repeat("n", 300): "value", "other": ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := message.NewMessage("uuid", message.Payload("payload"))
			m.Metadata = metadata
			out, err := bridgeamqp.Marshal(m)
			require.NoError(t, err)
			require.Len(t, out.Headers, 2)
			require.True(t, m.Equals(bridgeamqp.Unmarshal(received(out))))
			require.Equal(t, "payload", string(m.Payload))
		})
	}
	lying := received(amqp091.Publishing{Headers: amqp091.Table{"leat_metadata": "900"}, Body: []byte("short")})
	require.Equal(t, "short", string(bridgeamqp.Unmarshal(lying).Payload))
}

// Whatever headers a message of somebody else has, it is one. The library refuses it and
// gets it again, for ever.
func TestForeignHeaders(t *testing.T) {
	d := amqp091.Delivery{MessageId: "theirs", Body: []byte("payload"), Headers: amqp091.Table{
		"int": int64(-7), "bool": true, "bytes": []byte("text"), "time": time.Unix(0, 0), "nil": nil, "float": 1.5,
		"x-death": []any{amqp091.Table{"count": int64(3), "queue": "orders"}},
	}}
	_, err := amqp.DefaultMarshaler{}.Unmarshal(d)
	require.Error(t, err)
	m := bridgeamqp.Unmarshal(d)
	require.Equal(t, "theirs", m.UUID)
	require.Equal(t, message.Metadata{
		"int": "-7", "bool": "true", "bytes": "text", "time": "1970-01-01T00:00:00Z", "nil": "null", "float": "1.5",
		"x-death": `[{"count":3,"queue":"orders"}]`,
	}, m.Metadata)
}
