package bridgenats

import (
	"strings"

	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
)

// unmarshaler reads every message. The library's own refuses headers with several values,
// and panics when it has refused.
type unmarshaler struct{}

// Unmarshal returns a message with the headers as metadata, but for the server's own:
// published again, they would let it be dropped as a duplicate.
func (unmarshaler) Unmarshal(m jetstream.Msg) (*message.Message, error) {
	out := message.NewMessage(m.Headers().Get(watermillnats.WatermillUUIDHdr), m.Data())
	for name, values := range m.Headers() {
		if name != watermillnats.WatermillUUIDHdr && !strings.HasPrefix(name, "Nats-") {
			out.Metadata[name] = strings.Join(values, ",")
		}
	}
	return out, nil
}
