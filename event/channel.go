package event

import (
	"context"
	"time"
)

// Channel is the mechanism that events flow through: an in-memory queue, Kafka,
// SNS and SQS. It is what an engine implements; applications hand it to a bus and
// don't call it. All policy (retries, dead letters, workers) lives above it.
//
// The methods of a Channel, its Producers and its Consumers may be called
// concurrently unless they say otherwise. Package channeltest tests an engine
// against everything that is promised here.
type Channel interface {
	// Producer returns a light handle on a topic; the Channel owns the connections.
	Producer(ctx context.Context, topic string) (Producer, error)

	// Consumer joins a group as a new member. When it returned, the group exists on
	// every topic of s. ctx lives as long as the consumer.
	Consumer(ctx context.Context, s Subscription) (Consumer, error)

	// Guarantees returns what holds for a group on a topic, read from the broker's
	// true settings; the group "" asks for what holds for producing.
	Guarantees(ctx context.Context, topic, group string) (Guarantees, error)

	// Close releases everything. Consumers are closed before. It returns within ctx;
	// afterwards all calls return [ErrClosed].
	Close(ctx context.Context) error
}

// Producer appends events to one topic.
type Producer interface {
	// Produce returns nil when all events are durably accepted. A *[ProduceError]
	// names the rest by index and id, each refused or maybe written; any other error
	// means that nothing was accepted.
	//
	// Order is kept per key within a call, and between calls of which one returned
	// before the next began. Concurrent calls share batches. ctx ends the wait, not
	// the write. Under a handler's context ([Handling]) it never waits for room: it
	// returns [ErrFull], all or nothing, or [ErrTooLarge] when so many events could
	// never be taken at once; it still waits for the broker. NotBefore is honoured,
	// refused with [ErrDelayTooLong] above the longest delay, and ignored when past.
	// The slice is not kept. What a handler published may be kept with its delivery
	// until that is settled: see [WithCollected].
	Produce(ctx context.Context, events ...Event) error
}

// Consumer is one member of a group.
type Consumer interface {
	// Receive blocks until there is a delivery, then fills buf with what is there
	// and returns how many. Deliveries of a key come in order; while one of a key is
	// unsettled here, the key goes to no other member. One call at a time. An error
	// means that nothing was taken: [ErrClosed] once Close was called, or ctx's
	// error. Transient errors are retried inside and told to Subscription.OnError.
	Receive(ctx context.Context, buf []Delivery) (int, error)

	// Begin is called before each run of a delivery. It returns the context of the
	// run, whose end has the cause [ErrLeaseLost] or [ErrClosed]; or false when the
	// delivery is no longer ours: drop it. What a run publishes late, after a Hold,
	// is produced under the context of another Begin.
	Begin(t Token) (context.Context, bool)

	// Hold tells that a run ended without an outcome and the delivery waits in hand,
	// for its retry: Begin is called again later. failures is how often the handler
	// has failed on it by now.
	Hold(t Token, failures int)

	// Settle ends deliveries. It may do I/O. nil means that all are recorded, to be
	// flushed at the latest by Close; a *[SettleError] names the refused ones by
	// index: [ErrLeaseLost] for a stale token; [ErrFull] for a dead letter that finds
	// no room, or an Ack whose kept events don't, whose delivery is held then; [ErrNotSupported] for a Park where keys
	// can't be parked and [ErrDelayTooLong] for a Retry after more than
	// Guarantees.MaxRetry, whose deliveries stay as they are. Any other error means
	// that none was recorded and Settle may be called again with the same.
	Settle(ctx context.Context, s []Settlement) error

	// Close is called once, when the shutdown begins. Deliveries that were not begun
	// go back at once and in order, and so do held ones, which nobody runs. Begun ones
	// are waited for until ctx ends; then their contexts are cancelled with
	// [ErrClosed], they are waited for another Subscription.CancelGrace, and what is
	// still not settled goes back. Begin, Hold and Settle may be called while Close
	// waits; a delivery that is held then goes back at once. What was not begun was
	// not attempted; what was begun counts as an attempt. Close returns nil when
	// everything in hand was settled or is back, also after ctx ended.
	Close(ctx context.Context) error
}

// Subscription says what a consumer wants.
type Subscription struct {
	Group       string        // as the channel knows it
	Topics      []string      // at least one
	Types       []string      // a hint for filters of the broker; empty: all
	InFlight    int           // most deliveries in hand; no bound while some are held after an [ErrFull]; 0: the engine's choice
	Grace       time.Duration // how long begun deliveries may go on when they are revoked
	CancelGrace time.Duration // how long Close waits for deliveries that it cancelled
	From        Start         // where a new group starts
	Ephemeral   bool          // private to this consumer: from newest, nothing kept, removed by Close

	OnError func(error)   // transient errors that are being retried; may be nil; must not block
	OnLost  func([]Token) // deliveries in hand, not begun, that are no longer ours; may be nil; must not block

	// OnEvent, if set, lets the engine of an Ephemeral consumer hand over an event before its
	// Produce returns, in the goroutine of who produces it: in place of a delivery that
	// Receive would return. The engine does so with all events, with some, or with none, so who
	// sets it receives as well. Calls come at once where events are produced at once, so that
	// even those of a key are in no order, nor with what Receive returns; some may still come
	// when Close has returned. It must not block, and so not produce.
	OnEvent func(Event)
}

// StartKind is a kind of [Start].
type StartKind uint8

// The kinds of starts.
const (
	StartDefault StartKind = iota // the earliest event that the channel still has
	StartOldest                   // the same, refused with ErrNoHistory where the channel has no history
	StartNewest                   // what is produced from now on
	StartSince                    // the first event accepted at or after a time
)

// Start is where a group begins that does not exist yet. The zero value is the
// earliest event that the channel still has.
type Start struct {
	Kind StartKind // of place
	Time time.Time // of StartSince
}

// Oldest starts at the beginning of the history; a channel without one refuses it.
func Oldest() Start { return Start{Kind: StartOldest} }

// Newest starts with what is produced from now on.
func Newest() Start { return Start{Kind: StartNewest} }

// Since starts with the first event that was accepted at or after t; a channel
// without history refuses it.
func Since(t time.Time) Start { return Start{Kind: StartSince, Time: t} }
