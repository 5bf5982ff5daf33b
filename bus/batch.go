package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/leat-go/leat/event"
)

// BatchError is what a batch handler returns when some events of the batch failed:
// their index in the slice, and the error of each. See [SubscribeBatch].
type BatchError = event.BatchError

// SubscribeBatch hands the events of T's type to h in batches, as large as [Batch]
// says. Groups, keys and retries are as with [Subscribe], for each event by itself.
//
// nil acknowledges the whole batch. A [BatchError] fails the events that it names and
// acknowledges the others; any other error fails all. The errors mean what they mean
// for a single event. A batch has the events of a key in order; when one of them
// fails, the later ones of its key in the batch come again behind it, whether h
// handled them or not, and don't count as failed. Events that can't be decoded become
// dead letters and never reach h.
//
// The context ends when one of the deliveries is no longer ours. What came with an
// event is found under [event.Element](ctx, i), and what is published because of it is
// published under that context, too; under the batch's own a publish is an error.
// Middlewares have to be [event.BatchMiddleware] as well.
func SubscribeBatch[T any](b *Bus, group string, h func(context.Context, []T) error, opts ...SubscribeOption) {
	b.mustBeNew("SubscribeBatch")
	t := reflect.TypeFor[T]()
	m := b.messageOf(t)
	switch {
	case m.err != nil:
		b.mistake(fmt.Errorf("group %q: %w", group, m.err))
		return
	case h == nil:
		b.mistake(fmt.Errorf("group %q: nil batch handler for %s", group, m.typ))
		return
	}
	opts = append(opts, subscribeOption(func(s *subscription) {
		s.batchOf = decodingAll(b, m, h)
	}))
	b.subscribe(group, []string{m.typ}, noSingles, opts)
}

func noSingles(context.Context, event.Event) error {
	return errors.New("bus: a batch handler was called for a single event")
}

// The defaults of [Batch].
const (
	defaultBatchMax  = 100
	defaultBatchWait = 10 * time.Millisecond
)

// Batch lets a batch have at most max events, and wait for them for as long as wait
// after its first; with 0 it takes what is there when a worker is free. The default is
// 100 events and 10 ms.
func Batch(max int, wait time.Duration) SubscribeOption { //nolint:predeclared // what it is
	return subscribeOption(func(s *subscription) { s.batch = &batchSize{max, wait} })
}

type batchSize struct {
	max  int
	wait time.Duration
}

// checkBatch returns what is wrong with a subscription's batches.
func (s *subscription) checkBatch() error {
	switch {
	case s.batch == nil:
		return nil
	case s.batchOf == nil:
		return errors.New("Batch: only for SubscribeBatch")
	case s.batch.max < 1:
		return fmt.Errorf("Batch(%d): at least 1 event", s.batch.max)
	case s.batch.wait < 0:
		return errors.New("Batch: wait is negative")
	case s.group.inFlight != nil && *s.group.inFlight < s.batch.max:
		return fmt.Errorf("Batch(%d) is more than InFlight(%d)", s.batch.max, *s.group.inFlight)
	}
	return nil
}

// errBehind stands for events that wait behind one of their key that can't be decoded.
var errBehind = errors.New("bus: behind an event that failed")

// decodingAll returns a batch handler that checks, upcasts and decodes before it
// calls h with what could be decoded.
func decodingAll[T any](b *Bus, m *message, h func(context.Context, []T) error) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		values := make([]T, 0, len(events))
		failed := make(BatchError)
		at := make([]int, 0, len(events)) // of each value, in events
		var behind map[string]bool
		for i, e := range events {
			if e.Key() != "" && behind[e.Key()] {
				failed[i] = errBehind
				continue
			}
			var v T
			err := b.decodeUpcast(m, e, &v)
			if err == nil {
				values, at = append(values, v), append(at, i)
				continue
			}
			failed[i] = err
			if behind == nil {
				behind = make(map[string]bool)
			}
			behind[e.Key()] = true
		}
		if len(values) > 0 {
			if len(values) < len(events) {
				ctx = event.Elements(ctx, at)
			}
			joinErrors(failed, h(ctx, values), at)
		}
		if len(failed) == 0 {
			return nil
		}
		return failed
	}
}

// joinErrors adds what a handler returned for the values to what failed before; at
// tells where they stand in the batch.
func joinErrors(failed BatchError, err error, at []int) {
	for j, i := range at {
		if e := errorAt(err, j, len(at)); e != nil {
			failed[i] = e
		}
	}
}

// errorAt returns what a batch handler's error says about the i-th of n events.
func errorAt(err error, i, n int) error {
	var some BatchError
	if err == nil || !errors.As(err, &some) {
		return err
	}
	for j := range some {
		if j < 0 || j >= n {
			return fmt.Errorf("bus: BatchError names event %d of a batch of %d: %w", j, n, err)
		}
	}
	return some[i]
}
