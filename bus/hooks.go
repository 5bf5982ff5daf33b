package bus

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// A hook is a value in [Config].Hooks that implements one or more of the
// interfaces below. Hooks are called in the order of the list, by the goroutine
// that does the work, so they must be quick and must not block. They may look at
// an event but should not pass its data on.

// PublishHook is told about every event that was published, or refused.
type PublishHook interface {
	OnPublish(ctx context.Context, p Published)
}

// Published is an event that went to the channel.
type Published struct {
	Topic string
	Event event.Event
	Group string // of the handler whose success sent it, or ""
	Err   error  // it was not accepted
}

// AttemptHook is told about every run of a handler that ended with an outcome: all
// but those whose delivery went to another member meanwhile.
type AttemptHook interface {
	OnAttempt(ctx context.Context, a AttemptEnd)
}

// AttemptEnd is a run that ended.
type AttemptEnd struct {
	Info    event.Info
	Group   string // as it was subscribed; Info.Group is the name on the wire
	Handler string // "group/type"
	Outcome event.OutcomeKind
	Err     error // of the outcome: the handler's, or that of what it published
	Started time.Time
	Took    time.Duration
}

// SettleHook is told about every delivery that was settled or given back, or whose
// settlement was refused; not about those that go back with the consumer when the Bus
// is shut down.
type SettleHook interface {
	OnSettle(s Settled)
}

// Settled is a delivery that ended.
type Settled struct {
	Group string
	Topic string
	Event event.Event
	Kind  event.SettleKind
	Cause *event.Cause // of a dead letter
	Err   error        // the channel refused it: the event comes again, or the settlement when the dead letters are full
}

// SkipHook is told about events of types that a group has no handler for.
type SkipHook interface {
	OnSkip(group, topic string, e event.Event)
}

// StallHook is told when a group can't go on for a reason that an operator should
// know.
type StallHook interface {
	OnStall(s Stall)
}

// Stall is why a group waits.
type Stall struct {
	Group  string
	Reason StallReason
	Err    error
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
