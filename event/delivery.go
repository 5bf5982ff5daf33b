package event

import (
	"fmt"
	"time"
)

// Token names one delivery of one consumer. Its content belongs to the engine; a
// token of an earlier delivery or of another assignment is never valid again.
type Token [2]uint64

// Position is where an event stands in a topic. Positions are comparable within
// one topic and lane. The zero Position is not valid.
type Position struct {
	Lane   int32 // a partition, a shard; from 0
	Offset int64 // from 1: engines whose offsets begin at 0 add one
}

// Valid reports whether the channel gave a position.
func (p Position) Valid() bool { return p.Offset > 0 }

// String returns lane and offset.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Lane, p.Offset) }

// Delivery is one attempt to hand an event to a consumer: a plain value.
//
// Gap lets whoever waits for a position (see [Ends]) tell what will never come from what
// is not here yet. In it is what a broker writes for itself or has compacted away, what
// went to other groups alone, and, where a member takes a lane that no other has, what was
// there before the group began and what the group has settled, unless that may come later. It may
// be large. The position of an event that comes later, since it is delayed or waits behind
// a parked key, is in no gap while the member has the lane; it comes with a gap of its
// own, as it does when it comes again. Gap is 0 where it isn't known, and without a valid
// Position.
type Delivery struct {
	Event      Event     // zero when Err is set
	Topic      string    // where it was published
	Position   Position  // in its topic; not valid where the channel has none
	Gap        int64     // how many positions right before Position no event is to come of: see below
	Attempt    int       // 1 for the first; an upper bound where the broker counts give-backs
	Failures   int       // 0 where the channel doesn't keep them
	Redriven   bool      // a dead letter that was sent again
	Replayed   bool      // played again from a store
	EnqueuedAt time.Time // when the channel accepted it
	Token      Token     // names the delivery to its consumer
	Err        error     // set when the bytes are no event
	Raw        []byte    // then: the bytes as received
}

// SettleKind is how a delivery ends.
type SettleKind uint8

// The ways to settle a delivery.
const (
	SettleAck     SettleKind = iota // handled
	SettleRetry                     // again, after a delay; counted
	SettleRelease                   // given back, not counted
	SettleDead                      // to the group's dead letters
	SettlePark                      // as dead, and the key is parked behind it
)

// String returns the name of the kind.
func (k SettleKind) String() string {
	return kindName(k, "ack", "retry", "release", "dead", "park")
}

// Settlement ends one delivery. Use [Ack], [Retry], [Release], [Dead] and [Park].
type Settlement struct {
	Token    Token         // of the delivery
	Kind     SettleKind    // what becomes of it
	After    time.Duration // of a retry; 0: at once
	Failures int           // of a retry: how often the handler has failed by now
	Cause    *Cause        // of a dead letter
}

// Ack settles a handled delivery.
func Ack(t Token) Settlement { return Settlement{Token: t, Kind: SettleAck} }

// Retry gives a delivery back for another attempt after a delay. Its successors
// of the same key wait behind it.
func Retry(t Token, after time.Duration, failures int) Settlement {
	return Settlement{Token: t, Kind: SettleRetry, After: after, Failures: failures}
}

// Release gives a delivery back as if it had not been made.
func Release(t Token) Settlement { return Settlement{Token: t, Kind: SettleRelease} }

// Dead moves a delivery to the dead letters of its group. The engine makes the
// dead letter durable before it settles the origin.
func Dead(t Token, c Cause) Settlement { return Settlement{Token: t, Kind: SettleDead, Cause: &c} }

// Park is Dead, and the engine moves every later event of the key behind it until
// the key is redriven: as dead letters with the code [CodeParkedBehind]. Those in hand
// that are not begun are taken away: their tokens are stale, and Subscription.OnLost
// is told; one that is begun may end. The next owner of the key knows before it
// receives. What finds no room behind it waits, and Subscription.OnError is told.
// Without a key, Park is Dead. Channels without [Guarantees].Parks refuse it.
func Park(t Token, c Cause) Settlement { return Settlement{Token: t, Kind: SettlePark, Cause: &c} }
