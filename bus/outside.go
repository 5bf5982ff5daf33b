package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// sendOutside is send for a publish that comes from no handler. It returns
// [event.ErrClosed] when the Bus ended the wait.
func (b *Bus) sendOutside(ctx context.Context, topic string, events []event.Event) error {
	var err error
	if ctx == context.Background() { // frequent, and nothing but the Bus ends it
		err = b.produce(b.outside, topic, events)
	} else {
		o := b.newOutsider(ctx)
		err = b.produce(o, topic, events)
		o.end()
	}
	if err != nil && ctx.Err() == nil && b.outside.Err() != nil && !errors.Is(err, event.ErrClosed) {
		err = fmt.Errorf("%w: %w", event.ErrClosed, err)
	}
	if len(b.hooks.publish) > 0 {
		b.tellPublished(ctx, topic, "", events, err)
	}
	return err
}

// outsider is the context of a publish that comes from no handler: it ends with the
// publisher's own, and when the Bus takes no more publishes. So nobody waits for
// room that will not come. What that needs is made only when somebody asks for Done.
// After the publish it lets go of the publisher's context: an engine, or others of its
// allocation, may keep it.
type outsider struct {
	b *Bus

	mu     sync.Mutex
	ctx    context.Context // the publisher's
	merged atomic.Pointer[merged]
}

// outsiders are contexts that share an allocation. None is used twice: an engine may
// keep the one it got.
type outsiders struct {
	used atomic.Int32
	all  [16]outsider
}

func (b *Bus) newOutsider(ctx context.Context) *outsider {
	for {
		s := b.outsiders.Load()
		if s != nil {
			if i := int(s.used.Add(1)) - 1; i < len(s.all) {
				o := &s.all[i]
				o.b, o.ctx = b, ctx
				return o
			}
		}
		b.outsiders.CompareAndSwap(s, new(outsiders))
	}
}

type merged struct {
	context.Context

	cancel context.CancelCauseFunc
	stop   func() bool
}

// publisher returns the publisher's context.
func (o *outsider) publisher() context.Context {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ctx
}

// Deadline returns the publisher's.
func (o *outsider) Deadline() (time.Time, bool) { return o.publisher().Deadline() }

// Done returns a channel that is closed at either end.
func (o *outsider) Done() <-chan struct{} { return o.both().Done() }

// Err returns why the context ended, or nil.
func (o *outsider) Err() error {
	if m := o.merged.Load(); m != nil {
		return m.Err()
	}
	if err := o.publisher().Err(); err != nil {
		return err
	}
	return o.b.outside.Err()
}

// Value lets the standard library find the merged context once it is made.
func (o *outsider) Value(key any) any {
	if m := o.merged.Load(); m != nil {
		return m.Context.Value(key)
	}
	return o.publisher().Value(key)
}

func (o *outsider) both() context.Context {
	if m := o.merged.Load(); m != nil {
		return m
	}
	m := &merged{}
	m.Context, m.cancel = context.WithCancelCause(o.publisher())
	if o.b.outside.Err() != nil {
		m.cancel(event.ErrClosed)
	}
	m.stop = context.AfterFunc(o.b.outside, func() { m.cancel(event.ErrClosed) })
	if !o.merged.CompareAndSwap(nil, m) {
		m.end()
	}
	if m := o.merged.Load(); m != nil {
		return m
	}
	return published // it ended meanwhile
}

func (m *merged) end() {
	m.stop()
	m.cancel(context.Canceled)
}

// published is the context of publishes that are over.
var published = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// end releases what was made, and the publisher's context.
func (o *outsider) end() {
	o.mu.Lock()
	o.ctx = published
	o.mu.Unlock()
	if m := o.merged.Swap(nil); m != nil {
		m.end()
	}
}
