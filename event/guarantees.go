package event

import "time"

// Guarantees is what a channel promises for a group on a topic. A zero field is
// the weaker promise or "no limit", as each says.
type Guarantees struct {
	Channel           string        // the engine's name, for messages: "memory"
	OrderPerKey       bool          // events of a key are delivered in order
	Durable           bool          // accepted events survive the process
	History           bool          // a new group can start at events accepted before it existed
	MaxBytes          int           // largest event, attributes included; 0: no limit
	MaxDelay          time.Duration // longest NotBefore ahead; 0: none, negative: any
	MaxRetry          time.Duration // longest delay of a Retry; 0: none, negative: any
	RedeliveryHorizon time.Duration // how long after its acceptance an event can come again; 0: unknown
	Lease             time.Duration // after which a vanished member's deliveries go to others; 0: unknown
	MaxHold           time.Duration // how long a delivery can be in hand, waits included, until it comes again; 0: any time
	InHand            int           // deliveries that a member can have in hand at once, whatever their keys; 0: as many as it wants
	CountsAttempts    bool          // Delivery.Attempt is counted by the channel
	CountsGiveBacks   bool          // ... and includes deliveries that were given back
	GivesBack         bool          // Retry and Release are possible out of order
	SettlesAtOnce     bool          // Settle waits for nothing, as a call within the process does
	KeepsFailures     bool          // Delivery.Failures survives a give-back
	Parks             bool          // Park is possible
	Positions         bool          // Delivery.Position is valid
	RedriveLimit      int           // deliveries after which the broker itself makes a dead letter; 0: none
	DedupWindow       time.Duration // within which the broker drops events of the same id; 0: none
	Linger            time.Duration // how long waiting for more events saves calls; 0: not at all
}
