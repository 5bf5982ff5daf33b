package bridgeredis

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
)

// marshaler is Watermill's own, but for entries that it can't read: the library ends a
// subscription at such a one, and again when it comes back.
type marshaler struct {
	redisstream.DefaultMarshallerUnmarshaller
}

// Unmarshal returns the message of an entry. One that nobody on Watermill wrote has no
// UUID and is a dead letter then: with the field payload as its bytes, or else with all
// fields as JSON.
func (d marshaler) Unmarshal(values map[string]any) (*message.Message, error) {
	if m, err := d.watermills(values); err == nil {
		return m, nil
	}
	payload, is := values["payload"].(string)
	_, others := values["metadata"]
	if !is || others {
		all, err := json.Marshal(values)
		if err != nil {
			return nil, err // can't be: they are strings
		}
		payload = string(all)
	}
	return message.NewMessage("", []byte(payload)), nil
}

var errPanic = errors.New("bridgeredis: the library panicked")

// watermills returns the message of an entry that Watermill wrote.
func (d marshaler) watermills(values map[string]any) (m *message.Message, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return d.DefaultMarshallerUnmarshaller.Unmarshal(values)
}
