package event

import "context"

// Batch is the context of one run of a batch handler. Runtimes such as the bus make
// it. It is no context of a single event: [Element] leads to those.
type Batch struct {
	context.Context // ends when one of the deliveries is no longer ours

	Elements []context.Context // those of the events, in their order
}

type batchKey struct{}

// Value returns the batch under its key, else what the context has. An [Origin] and an
// [Outbox] from outside end here, as with an [Attempt].
func (b *Batch) Value(key any) any {
	switch key.(type) {
	case batchKey:
		return b
	case outboxKey:
		return noOutbox{}
	case attemptKey, originKey:
		return nil
	}
	return b.Context.Value(key)
}

// noOutbox refuses what is published under the context of a whole batch: nobody could
// tell which event it belongs to.
type noOutbox struct{}

func (noOutbox) Add(context.Context, string, ...Event) error { return ErrInBatch }

// InBatch reports whether ctx is a batch handler's, and not that of one of its
// events: then a publish under it is [ErrInBatch].
func InBatch(ctx context.Context) bool {
	b, _ := ctx.Value(batchKey{}).(*Batch)
	return b != nil && attemptOf(ctx) == nil
}

// Element returns the context of the i-th event of the batch that ctx belongs to:
// what [FromContext], [SetResult] and [OnOutcome] take, and what the event's handling
// publishes under. What was put into ctx since the batch began is in it too. It
// panics when ctx is no batch handler's, or has no such event.
func Element(ctx context.Context, i int) context.Context {
	b, _ := ctx.Value(batchKey{}).(*Batch)
	if b == nil {
		panic("event: Element outside of a batch handler")
	}
	return &element{Context: ctx, own: b.Elements[i]}
}

// Elements returns a batch handler's context for some of the events of its batch: for
// middlewares that keep others away from the handlers within. at are their indexes.
func Elements(ctx context.Context, at []int) context.Context {
	b, _ := ctx.Value(batchKey{}).(*Batch)
	if b == nil {
		panic("event: Elements outside of a batch handler")
	}
	own := make([]context.Context, 0, len(at))
	for _, i := range at {
		own = append(own, b.Elements[i])
	}
	return &part{Context: ctx, batch: &Batch{Context: b.Context, Elements: own}}
}

// part is the context of some events of a batch.
type part struct {
	context.Context // the batch's, or one made from it

	batch *Batch // of these alone
}

// Value returns the narrower batch under its key, else what the context has.
func (p *part) Value(key any) any {
	if key == (batchKey{}) {
		return p.batch
	}
	return p.Context.Value(key)
}

// element is the context of one event of a batch, under what its batch's has.
type element struct {
	context.Context // the batch's, or one made from it

	own context.Context
}

// Value returns what belongs to the one event, and for the rest what the batch has.
// An outbox that was set for the batch is nearer than the event's own.
func (e *element) Value(key any) any {
	if key == (attemptKey{}) {
		return e.own.Value(key)
	}
	v := e.Context.Value(key)
	if _, none := v.(noOutbox); none || v == nil {
		return e.own.Value(key)
	}
	return v
}
