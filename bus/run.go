package bus

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/leat-go/leat/event"
)

// run is one attempt: the handler's context, and what the handler published under
// it. It is the outermost outbox.
type run struct {
	event.Attempt

	h *handler

	mu        sync.Mutex // the handler may publish from several goroutines
	over      bool       // the handler returned
	finished  bool       // and all that follows it is done
	ordinal   int32
	collected []outgoing
}

// outgoing are collected events for one topic.
type outgoing struct {
	topic  string
	events []event.Event
}

type runKey struct{}

// Value returns the run under its key.
func (r *run) Value(key any) any {
	if key == (runKey{}) {
		return r
	}
	return r.Attempt.Value(key)
}

// runOf returns the run that ctx belongs to, or nil.
func runOf(ctx context.Context) *run {
	r, _ := ctx.Value(runKey{}).(*run)
	return r
}

// deriveID returns the id of the next event that the handler publishes.
func (r *run) deriveID() string {
	r.mu.Lock()
	n := r.ordinal
	r.ordinal++
	r.mu.Unlock()
	cause := r.Info.Event
	return event.DerivedID(r.h.g.wire, cause.Source(), cause.ID(), int(n))
}

var errOver = errors.New("bus: publish under the context of a handler that has returned")

// Add collects events; it refuses those that could never be sent.
func (r *run) Add(_ context.Context, topic string, events ...event.Event) error {
	if err := sendable(topic, events); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.over {
		return errOver
	}
	if n := len(r.collected); n > 0 && r.collected[n-1].topic == topic {
		r.collected[n-1].events = append(r.collected[n-1].events, events...)
		return nil
	}
	r.collected = append(r.collected, outgoing{topic, append([]event.Event(nil), events...)})
	return nil
}

// sendable returns why events can never be sent, or nil.
func sendable(topic string, events []event.Event) error {
	if err := checkName("topic", topic); err != nil {
		return err
	}
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	return nil
}

// end closes the outbox: the handler returned. Unless it succeeded what it
// published is dropped.
func (r *run) end(keep bool) {
	before, after := r.Watched()
	r.mu.Lock()
	r.over = true
	r.finished = !before && !after
	if !keep {
		r.collected = nil
	}
	r.mu.Unlock()
}

// finish notes that nothing more is done for the run.
func (r *run) finish() {
	r.mu.Lock()
	r.finished = true
	r.mu.Unlock()
}

// isFinished reports whether nothing more is done for the run: what still uses its
// context was left behind by the handler.
func (r *run) isFinished() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.finished
}

// produce sends what was collected. What is accepted is not sent again by the next
// call.
func (r *run) produce(ctx context.Context) error {
	for len(r.collected) > 0 {
		out := &r.collected[0]
		if err := r.h.g.b.send(ctx, out.topic, r.h.g.name, out.events); err != nil {
			out.events = remaining(out.events, err)
			return err
		}
		r.collected = r.collected[1:]
	}
	return nil
}

// runAfter runs the functions after the settlement. One that panics is the
// application's loss, not the process's.
func (r *run) runAfter(o event.Outcome) {
	defer r.finish()
	for after := true; after; _, after = r.Watched() {
		var err error
		func() {
			defer recovered(&err)
			r.RunAfter(r.detached(), o)
		}()
		if err != nil {
			r.h.g.b.log.Error("bus: a function after the settlement panicked", "handler", r.h.name)
		}
	}
}

// remaining returns the events that err says were not accepted, in order.
func remaining(events []event.Event, err error) []event.Event {
	some, ok := errors.AsType[*event.ProduceError](err)
	if !ok {
		return events
	}
	left := make([]event.Event, 0, len(some.Failed))
	for _, f := range some.Failed {
		left = append(left, events[f.Index])
	}
	return left
}

// refused reports whether err names an event that no repetition will send.
func refused(err error) bool {
	some, ok := errors.AsType[*event.ProduceError](err)
	if !ok { // nothing was accepted
		return event.ProduceFailure{Err: err}.Final()
	}
	return slices.ContainsFunc(some.Failed, event.ProduceFailure.Final)
}
