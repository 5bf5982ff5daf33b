package bus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

// Call runs the handler that a group of this Bus has for an event, in the caller's goroutine
// and under its context, without the channel: nobody else sees the event, nothing is
// tried again, and the error is the handler's. Middlewares, what the handler publishes, and
// functions for the outcome are as for a delivery; for these a failure is the last, and what is
// postponed is to be tried again.
// It returns the handler's result. [Workers] and keys don't count.
func (s Style) Call(ctx context.Context, group string, e event.Event) (event.Result, error) {
	if err := s.b.accepts(ctx); err != nil {
		return event.Result{}, err
	}
	h := s.b.handlerOf(group, e.Type())
	if h == nil || h.fn == nil {
		return event.Result{}, fmt.Errorf("bus: group %q has no handler to call for %q", group, e.Type())
	}
	return newCall(ctx, h, e).do() //nolint:contextcheck // a run is its context
}

// newCall makes the context of a call.
func newCall(ctx context.Context, h *handler, e event.Event) *run {
	r := &run{h: h}
	r.Context, r.Outbox = ctx, r
	r.Info = event.Info{Event: e, Topic: h.g.topics[0], Group: h.g.wire, Attempt: 1, EnqueuedAt: time.Now()}
	return r
}

// do runs the handler, and ends the call.
func (r *run) do() (event.Result, error) {
	started := time.Now()
	err := r.call()
	took := time.Since(started)
	out, err := r.conclude(err)
	if hooks := &r.h.g.b.hooks; len(hooks.attempt) > 0 {
		hooks.attempted(r, AttemptEnd{
			Info: r.Info, Group: r.h.g.name, Handler: r.h.name, Outcome: out.Kind, Err: err, Started: started, Took: took,
		})
	}
	result, _ := event.ResultOf(r)
	return result, err
}

// Calls reports whether a group of this Bus has a handler for a type that can be called: one
// for single events. It does once the Bus is started.
func (s Style) Calls(group, typ string) bool {
	h := s.b.handlerOf(group, typ)
	return h != nil && h.fn != nil
}

func (b *Bus) handlerOf(group, typ string) *handler {
	b.mu.Lock()
	defer b.mu.Unlock()
	if g := b.byName[group]; g != nil {
		return g.handlers[typ]
	}
	return nil
}

// conclude ends a call: what was collected goes out, and whoever asked for the outcome gets
// it.
func (r *run) conclude(err error) (event.Outcome, error) {
	r.end(err == nil)
	defer r.finish()
	if err == nil {
		err = r.produce(event.WithCollected(r))
	}
	out := event.Outcome{Kind: event.OutcomeAcked, Err: err}
	switch {
	case event.VerdictOf(err).Kind == event.Rejected:
		out.Kind = event.OutcomeRejected
	case event.VerdictOf(err).Kind == event.Postponed:
		out.Kind = event.OutcomeRetried // nothing has happened: the caller may try again
	case err != nil:
		out.Kind = event.OutcomeDead
	}
	if before, _ := r.Watched(); before {
		if failed := r.RunBefore(r, out); failed != nil {
			err = errors.Join(err, failed)
		}
	}
	r.runAfter(out)
	return out, err
}

// errNoChannel is returned for what needs a channel by a Bus that has none.
var errNoChannel = errors.New("bus: Config.Channel is nil: handlers can be called, and nothing can be published")

// nowhere is the channel of a Bus that has none.
type nowhere struct{}

func (nowhere) Producer(context.Context, string) (event.Producer, error) {
	return nil, errNoChannel
}

func (nowhere) Consumer(context.Context, event.Subscription) (event.Consumer, error) {
	return nil, errNoChannel
}

func (nowhere) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	return event.Guarantees{Channel: "no channel", MaxDelay: -1, MaxRetry: -1}, nil
}

func (nowhere) Close(context.Context) error { return nil }

// Callable lets the handlers of a group be called on a Bus without a channel.
func (Style) Callable() SubscribeOption {
	yes := true
	return subscribeOption(func(s *subscription) { s.group.callable = &yes })
}

// callsOnly tells of a Bus without a channel whether all its groups can be called; they
// aren't started then.
func (b *Bus) callsOnly() bool {
	groups := b.started()
	for _, g := range groups {
		if g.said.callable == nil {
			return false
		}
	}
	return len(groups) > 0
}
