package bridgeamqp

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
)

// PubSub returns what New makes a channel of.
func PubSub(cfg Config) (watermillbridge.PubSub, error) { return pubSub(cfg) }

// Cut lets a subscriber vanish as if its process had died: its connection is gone, and it
// makes no other.
func Cut(s message.Subscriber) { s.(*subscriber).line.end() }

// Marshal returns what is sent of a message.
var Marshal = marshal

// Unmarshal returns the message of a delivery.
var Unmarshal = unmarshal
