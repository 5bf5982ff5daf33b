package command

import (
	"context"
	"errors"
	"iter"
)

// Operations is a store of operations. All it does is compare and set; what may follow what
// is decided here. Its methods may be called concurrently, by many processes. Package
// operationstest tests one.
type Operations interface {
	// Create keeps a new operation, with version 1 and the times of the store's clock, and
	// returns it. If there is one of this id, or was one that is forgotten, it returns
	// that and [ErrExists]; of a forgotten one only the id. What a store returns, here and
	// below, shares nothing with what it keeps.
	Create(ctx context.Context, o Operation) (Operation, error)

	// Get returns an operation: [ErrNoOperation] if there never was one, [ErrForgotten]
	// when it is kept no longer. A store may forget, in the end, that it forgot.
	Get(ctx context.Context, id string) (Operation, error)

	// Swap replaces an operation if its version is still o.Version, all but the time when
	// it was created, and returns it with the next version and the time. Else it returns
	// [ErrConflict], or the errors of Get. From then on it is kept for as long as a new
	// one.
	Swap(ctx context.Context, o Operation) (Operation, error)

	// Watch calls wake after each change of an operation, from any process, until stop was
	// called; it may call it more often, and once more while stop is called. The
	// operation needn't exist yet: its creation is a change. That it is forgotten is none.
	// wake doesn't block. When Watch returned, no change goes unnoticed; while the store
	// can't be reached, changes may, but wake is called when it can be again. ctx bounds
	// the call alone. stop may be called again, and from wake.
	Watch(ctx context.Context, id string, wake func()) (stop func(), err error)
}

// Watch returns an operation as it is, unless its version is after or lower, and then after
// each change, until it is final, ctx ends or the store fails. Whoever is slow misses
// versions in between, and never the last.
func Watch(ctx context.Context, ops Operations, id string, after int64) iter.Seq2[Operation, error] {
	return func(yield func(Operation, error) bool) {
		news := make(chan struct{}, 1)
		stop, err := ops.Watch(ctx, id, func() {
			select {
			case news <- struct{}{}:
			default:
			}
		})
		if err != nil {
			yield(Operation{}, ended(ctx, err))
			return
		}
		defer stop()
		for {
			o, err := ops.Get(ctx, id)
			if err != nil {
				yield(Operation{}, ended(ctx, err))
				return
			}
			if o.Version > after {
				after = o.Version
				if !yield(o, nil) {
					return
				}
			}
			if o.State.Final() {
				return
			}
			select {
			case <-news:
			case <-ctx.Done():
				yield(Operation{}, context.Cause(ctx))
				return
			}
		}
	}
}

// ended returns why ctx ended if it has, and else err: what a store says of a context that
// ended in the middle of a call differs.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// Change reads an operation, lets change work on it, and swaps it, again when others were
// faster. change returns false where nothing is to be changed.
func Change(ctx context.Context, ops Operations, id string, change func(*Operation) bool) (Operation, error) {
	for {
		o, err := ops.Get(ctx, id)
		if err != nil {
			return o, err
		}
		if !change(&o) {
			return o, nil
		}
		next, err := ops.Swap(ctx, o)
		if !errors.Is(err, ErrConflict) {
			return next, err
		}
	}
}
