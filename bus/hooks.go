package bus

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// A hook is a value in [Config].Hooks that implements one or more of the
// interfaces below. Hooks are called in the order of the list, by the goroutine
// that does the work, so they must be quick, and must neither block nor panic: a panic
// of a hook ends the process. They may look at an event but should not pass its data
// on.

// PublishHook is told about every event that was published, or refused.
type PublishHook interface {
	// OnPublish is called after the channel answered; ctx is the publisher's.
	OnPublish(ctx context.Context, p Published)
}

// Published is an event that went to the channel.
type Published struct {
	Topic string      // where it went
	Event event.Event // as it was sent
	Group string      // of the handler whose success sent it, or ""
	Err   error       // it was not accepted
}

// DeliverHook is told about every delivery that a group received.
type DeliverHook interface {
	// OnDeliver is called before any handler sees the delivery.
	OnDeliver(d Delivered)
}

// Delivered is a delivery that a group took in hand.
type Delivered struct {
	Group    string         // as it was subscribed
	Delivery event.Delivery // as it was received
}

// AttemptHook is told about every run of a handler that ended with an outcome: all
// but those whose delivery went to another member meanwhile.
type AttemptHook interface {
	// OnAttempt is called before the settlement; ctx is the handler's.
	OnAttempt(ctx context.Context, a AttemptEnd)
}

// AttemptEnd is a run that ended.
type AttemptEnd struct {
	Info    event.Info        // of the delivery
	Group   string            // as it was subscribed; Info.Group is the name on the wire
	Handler string            // "group/type"
	Outcome event.OutcomeKind // what the run came to
	Err     error             // of the outcome: the handler's, or that of what it published
	Started time.Time         // when the handler was called
	Took    time.Duration     // until the handler returned
}

// SettleHook is told about every delivery that was settled or given back, or whose
// settlement was refused. What leaves the hand otherwise is told to no hook: what is
// lost with its lease, what goes behind a parked event of its key, what goes back with
// the consumer when the Bus is shut down. How much is in hand is in [Bus.Status], how
// many dead letters there are, parked ones too, in [Bus.Lag].
type SettleHook interface {
	// OnSettle is called after the channel answered.
	OnSettle(s Settled)
}

// Settled is a delivery that ended.
type Settled struct {
	Group string           // as it was subscribed
	Topic string           // where the event was published
	Event event.Event      // as it was delivered
	Kind  event.SettleKind // of the settlement
	Cause *event.Cause     // of a dead letter
	Err   error            // the channel refused it: the event comes again, or the settlement when the dead letters are full
}

// SkipHook is told about events of types that a group has no handler for.
type SkipHook interface {
	// OnSkip is called before the event is acknowledged.
	OnSkip(group, topic string, e event.Event)
}

// StallHook is told when a group can't go on for a reason that an operator should
// know.
type StallHook interface {
	// OnStall is called once until something is settled or the reason changes.
	OnStall(s Stall)
}

// Stall is why a group waits.
type Stall struct {
	Group  string      // as it was subscribed
	Reason StallReason // what it waits for
	Err    error       // the last error; nil where there is none
}

// StallReason is a kind of [Stall].
type StallReason string

// The reasons to wait.
const (
	StallWindow  StallReason = "window"  // all in hand waits for a retry, and the channel can't take it back
	StallRoom    StallReason = "room"    // what a handler published finds no room in the channel
	StallDead    StallReason = "dead"    // the dead letters are full
	StallSettle  StallReason = "settle"  // settlements don't reach the channel
	StallBefore  StallReason = "before"  // a function that runs before the settlement fails
	StallProduce StallReason = "produce" // what a handler published doesn't reach the channel
)

type hooks struct {
	publish []PublishHook
	deliver []DeliverHook
	attempt []AttemptHook
	settle  []SettleHook
	skip    []SkipHook
	stall   []StallHook
	unknown []any // implement none of them: a mistake
}

func sortHooks(values []any) hooks {
	var h hooks
	for _, v := range values {
		known := collect(v, &h.publish)
		known = collect(v, &h.deliver) || known
		known = collect(v, &h.attempt) || known
		known = collect(v, &h.settle) || known
		known = collect(v, &h.skip) || known
		known = collect(v, &h.stall) || known
		if !known {
			h.unknown = append(h.unknown, v)
		}
	}
	return h
}

func collect[H any](v any, list *[]H) bool {
	h, ok := v.(H)
	if ok {
		*list = append(*list, h)
	}
	return ok
}

func (h *hooks) published(ctx context.Context, p Published) {
	for _, f := range h.publish {
		f.OnPublish(ctx, p)
	}
}

func (h *hooks) delivered(group string, ds []event.Delivery) {
	for _, f := range h.deliver {
		for i := range ds {
			f.OnDeliver(Delivered{group, ds[i]})
		}
	}
}

func (h *hooks) attempted(ctx context.Context, a AttemptEnd) {
	for _, f := range h.attempt {
		f.OnAttempt(ctx, a)
	}
}

func (h *hooks) settled(s Settled) {
	for _, f := range h.settle {
		f.OnSettle(s)
	}
}

func (h *hooks) skipped(group, topic string, e event.Event) {
	for _, f := range h.skip {
		f.OnSkip(group, topic, e)
	}
}

func (h *hooks) stalled(s Stall) {
	for _, f := range h.stall {
		f.OnStall(s)
	}
}
