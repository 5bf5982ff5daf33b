package query

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// Ask asks a query, and returns the answer, or the error that is the answer.
//
// If the Bus itself handles the type, the handler is called, in the caller's goroutine and
// under its context, and its error is returned as it is. Query and answer are not copied
// then: neither side may change what both have. Where middlewares of package event are around
// the handler, or hooks are told of its attempts, it goes through these as what comes over the channel does, and
// so does one that is asked with another type than the handler has: encoded, and decoded
// again. Limits of a group, [bus.Workers] say, are for what comes over the channel.
//
// Else it is asked over the channel, at once, also under a handler's context (not that of a
// whole batch: see [event.Element]), and the first answer counts. That ends with ctx, or after 30
// seconds if ctx has no deadline, with [ErrNoAnswer], or the error of sending if ctx ends before
// the query is sent; and with [ErrNoHandler] where the channel can tell that nobody is there.
// opts are those of [bus.Bus.Publish], for what goes over the channel.
func Ask[R, Q any](ctx context.Context, b *bus.Bus, q Q, opts ...bus.PublishOption) (R, error) {
	style := b.Style()
	l, ok := style.Kept(localKey[Q]{}).(*local[Q, R])
	if !ok {
		return elsewhere[R](ctx, b, q, opts)
	}
	if err := style.Accepts(ctx); err != nil {
		var none R
		return none, err
	}
	if !l.direct() {
		return elsewhere[R](ctx, b, q, opts)
	}
	return l.call(ctx, q)
}

// Asker returns [Ask] as a [Func]: for middlewares around it.
func Asker[Q, R any](b *bus.Bus, opts ...bus.PublishOption) Func[Q, R] {
	return func(ctx context.Context, q Q) (R, error) { return Ask[R](ctx, b, q, opts...) }
}

// elsewhere asks for what can't be called as it is.
func elsewhere[R any](ctx context.Context, b *bus.Bus, q any, opts []bus.PublishOption) (R, error) {
	var r R
	qs := of(b)
	answer, err := qs.ask(ctx, q, opts)
	if err == nil {
		err = qs.requests.Read(answer, &r)
	}
	return r, err
}

// ask returns the answer to a query as an event.
func (qs *queries) ask(ctx context.Context, q any, opts []bus.PublishOption) (event.Event, error) {
	if err := qs.style.Accepts(ctx); err != nil {
		return event.Event{}, err
	}
	typ, err := qs.describe(q)
	if err != nil {
		return event.Event{}, err
	}
	if qs.style.Calls(typ, typ) {
		return qs.call(ctx, q, opts)
	}
	if !qs.style.HasChannel() {
		return event.Event{}, unanswered(typ, ErrNoHandler)
	}
	return qs.request(ctx, q, typ, opts)
}

// call calls the handler of this process with all that is around it.
func (qs *queries) call(ctx context.Context, q any, opts []bus.PublishOption) (event.Event, error) {
	_, e, err := qs.b.Prepare(ctx, q, opts...)
	if err != nil {
		return event.Event{}, err
	}
	c := new(called)
	result, err := qs.style.Call(context.WithValue(ctx, calledKey{}, c), e.Type(), e)
	if c.err != nil {
		err = c.err
	}
	if own, ok := err.(handlerError); ok { //nolint:errorlint // one that others have wrapped stays so
		err = own.error
	}
	if err != nil {
		return event.Event{}, err
	}
	return e.WithData(result.ContentType, result.Data), nil
}

// request asks over the channel.
func (qs *queries) request(ctx context.Context, q any, typ string, opts []bus.PublishOption) (event.Event, error) {
	call, err := qs.requests.Open(ctx)
	if err != nil {
		return event.Event{}, unanswered(typ, err)
	}
	defer call.End()
	topic, e, err := qs.style.Prepare(ctx, q, opts, call.Attributes())
	if err != nil {
		return event.Event{}, err
	}
	from := request.Repliers{Type: typ, Topic: topic}
	if err := qs.requests.CheckReplier(call.Context(), from); err != nil { //nolint:contextcheck // it is ctx, with a deadline
		return event.Event{}, unanswered(typ, err)
	}
	send := func(ctx context.Context) error { return qs.style.Send(ctx, topic, e, true) }
	answer, err := call.Ask(e, from, send) //nolint:contextcheck // the same
	if err != nil {
		return event.Event{}, unanswered(typ, err)
	}
	return answer, nil
}

// unanswered names the query that has no answer.
func unanswered(typ string, err error) error { return fmt.Errorf("query: %s: %w", typ, err) }
