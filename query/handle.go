package query

import (
	"context"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// defaultWorkers is how many queries of a type are answered at once: reads wait for others
// more than they compute.
const defaultWorkers = 32

// Handle lets h answer the queries of type Q. There is exactly one handler for a type on a
// Bus; a second is a mistake that Start reports. The group is named after the type: the
// processes of an application share its queries, and each application that
// handles the type has an answer of its own. opts are those of [bus.Subscribe]; unless
// they say otherwise, 32 queries are answered at once, in no order.
//
// An [event.NewError] that h returns, wrapped or not, is an answer: whoever asked gets it.
// An [event.Postpone] lets the query wait and come again, as long as somebody waits. Any
// other error is [ErrFailed] to those who ask from elsewhere. Nothing is tried again beside
// that, and nothing becomes a dead letter: who asked can ask again.
//
// The context of h ends when nobody waits any more.
func Handle[Q, R any](b *bus.Bus, h Func[Q, R], opts ...bus.SubscribeOption) {
	style := b.Style()
	style.MustBeNew("query.Handle")
	if h == nil {
		style.Mistake(fmt.Errorf("query: nil handler for %v", reflect.TypeFor[Q]()))
		return
	}
	typ, topic, err := style.Message(reflect.TypeFor[Q]())
	if err != nil {
		style.Mistake(fmt.Errorf("query: %w", err))
		return
	}
	qs := of(b)
	if err := qs.own(typ, topic); err != nil {
		style.Mistake(err)
		return
	}
	style.Keep(localKey[Q]{}, &local[Q, R]{queries: qs, typ: typ, h: h})
	all := append([]bus.SubscribeOption{
		bus.Workers(defaultWorkers), style.Callable(), bus.With(answering{qs}),
	}, opts...)
	bus.Subscribe(b, typ, func(ctx context.Context, q Q) error {
		r, err := h(ctx, q)
		if err != nil {
			return handlerError{err}
		}
		contentType, data, err := style.Encode(r)
		if err != nil {
			return fmt.Errorf("query: an answer of type %T can't be encoded: %w", r, err)
		}
		return event.SetResult(ctx, contentType, data)
	}, all...)
}

// localKey is what the handler of a type is kept under.
type localKey[Q any] struct{}

// local is a handler of this process.
type local[Q, R any] struct {
	*queries

	typ     string
	h       Func[Q, R]
	around  atomic.Int32 // what is
	timeout time.Duration
}

// What is around a handler.
const (
	unseen int32 = iota // until it is looked at
	nothing
	something
)

// direct reports whether the handler can be called as it is.
func (l *local[Q, R]) direct() bool {
	switch l.around.Load() {
	case nothing:
		return true
	case something:
		return false
	}
	return l.look()
}

// look sees once what is around the handler.
func (l *local[Q, R]) look() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, timeout, hooked, ok := l.style.Around(l.typ, l.typ)
	if !ok || hooked || len(all) > 1 { // the one is our own
		l.around.Store(something)
		return false
	}
	l.timeout = timeout
	l.around.Store(nothing)
	return true
}

// call calls the handler.
func (l *local[Q, R]) call(ctx context.Context, q Q) (r R, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	if l.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, l.timeout)
		defer cancel()
	}
	return l.h(ctx, q)
}
