package bus

import (
	"context"

	"github.com/leat-go/leat/event"
)

// decodingAll returns what makes the batch handler of a group: it checks, upcasts and
// decodes, then calls h with what could be decoded.
func decodingAll[T any](b *Bus, m *message, h func(context.Context, []T) error) func(*group) event.BatchHandler {
	return func(g *group) event.BatchHandler {
		return func(ctx context.Context, events []event.Event) error {
			values := make([]T, 0, len(events))
			var bad undecoded
			for i, e := range events {
				if bad.holdsUp(ctx, i, e) {
					continue
				}
				n := len(values)
				values = values[:n+1]
				if err := b.decodeUpcast(m, e, &values[n]); err != nil {
					clear(values[n:])
					values = values[:n]
					bad.add(ctx, g, i, e, err)
				}
			}
			return bad.without(ctx, len(events), func(ctx context.Context) error { return h(ctx, values) })
		}
	}
}

// undecoded are the events of a batch that its handler does not get.
type undecoded struct {
	failed BatchError
	keys   keySet // of which later events have to come again
}

// add notes that the i-th event can't be decoded.
func (u *undecoded) add(ctx context.Context, g *group, i int, e event.Event, err error) {
	if u.failed == nil {
		u.failed = make(BatchError)
	}
	u.failed[i] = err
	if !g.unordered {
		u.keys.add(topicOf(ctx, i), e.Key())
	}
}

// holdsUp reports whether the i-th event has to come again behind one of its key.
func (u *undecoded) holdsUp(ctx context.Context, i int, e event.Event) bool {
	if len(u.keys) == 0 || !u.keys.has(topicOf(ctx, i), e.Key()) {
		return false
	}
	u.failed[i] = event.ErrBehind
	return true
}

// topicOf returns the topic of the i-th event of a batch.
func topicOf(ctx context.Context, i int) string {
	info, _ := event.FromContext(event.Element(ctx, i))
	return info.Topic
}

// without calls h for the others of n events and returns what failed in all.
func (u *undecoded) without(ctx context.Context, n int, h func(context.Context) error) error {
	if len(u.failed) == 0 {
		return h(ctx)
	}
	at := make([]int, 0, n) // where those stand that h gets
	for i := range n {
		if u.failed[i] == nil {
			at = append(at, i)
		}
	}
	if len(at) == 0 {
		return u.failed
	}
	errs := event.ErrorsOf(h(event.Elements(ctx, at)), len(at))
	for j, i := range at {
		if err := errorAt(errs, j); err != nil {
			u.failed[i] = err
		}
	}
	return u.failed
}
