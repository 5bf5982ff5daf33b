package bus

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

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
// published under that context, too; under the batch's own a publish is
// [event.ErrInBatch].
// Middlewares have to be [event.BatchMiddleware] as well.
func SubscribeBatch[T any](b *Bus, group string, h func(context.Context, []T) error, opts ...SubscribeOption) {
	b.mustBeNew("SubscribeBatch")
	t := reflect.TypeFor[T]()
	m := b.messageOf(t)
	switch {
	case t == reflect.TypeFor[event.Event]():
		b.mistake(fmt.Errorf("group %q: SubscribeBatch with event.Event: a batch is of one Go type", group))
		return
	case m.err != nil:
		b.mistake(fmt.Errorf("group %q: %w", group, m.err))
		return
	case h == nil:
		b.mistake(fmt.Errorf("group %q: nil batch handler for %s", group, m.typ))
		return
	}
	opts = append(slices.Clip(opts), subscribeOption(func(s *subscription) {
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
	case s.batch.wait < 0:
		return errors.New("Batch: wait is negative")
	}
	return checkNumber("Batch", &s.batch.max)
}
