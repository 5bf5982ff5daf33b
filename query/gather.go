package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"strings"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// Reply is one of several answers to a query.
type Reply[R any] struct {
	App   string // that answers: the [bus.Config] App of its Bus
	Value R      // its answer, where it isn't an error
}

// AskAll asks a query of everybody who handles its type, over the channel, and returns the
// answers as they come, one of each application. An answer that is an error comes with the
// App that gave it, and others may follow. Who has enough, by their number or by what they
// say, leaves the loop; what comes later is dropped.
//
// The loop ends by itself with ctx's deadline, or after 30 seconds if ctx has none; where the
// channel knows its groups ([event.Census]), when all have answered. Those who are gone, but
// have been there before, are waited for some seconds. If nobody has answered by then the one
// error is [ErrNoAnswer], or [ErrNoHandler]. Any other error of asking comes without an App,
// and is the last.
func AskAll[R, Q any](ctx context.Context, b *bus.Bus, q Q, opts ...bus.PublishOption) iter.Seq2[Reply[R], error] {
	return func(yield func(Reply[R], error) bool) {
		qs := of(b)
		err := qs.gather(ctx, q, opts, func(answer event.Event) bool {
			r := Reply[R]{App: strings.TrimPrefix(answer.Source(), "/")}
			err := qs.requests.Read(answer, &r.Value)
			return yield(r, err)
		})
		if err != nil {
			yield(Reply[R]{}, err)
		}
	}
}

// gather asks everybody, and hands on what they answer until use has enough.
func (qs *queries) gather(ctx context.Context, q any, opts []bus.PublishOption, use func(event.Event) bool) error {
	typ, err := qs.describe(q)
	if err != nil {
		return err
	}
	if !qs.style.HasChannel() {
		return errors.New("query: AskAll needs a channel: without one there is Ask")
	}
	call, err := qs.requests.Open(ctx)
	if err != nil {
		return unanswered(typ, err)
	}
	defer call.End()
	topic, e, err := qs.style.Prepare(ctx, q, opts, call.Attributes())
	if err != nil {
		return err
	}
	from := request.Repliers{Type: typ, Topic: topic}
	known, err := qs.requests.CountRepliers(call.Context(), from) //nolint:contextcheck // it is ctx, with a deadline
	if err != nil {
		return unanswered(typ, err)
	}
	send := func(ctx context.Context) error { return qs.style.Send(ctx, topic, e, true) }
	for answer, err := range call.Gather(e, from, known, send) { //nolint:contextcheck // the same
		if err != nil {
			return unanswered(typ, err)
		}
		if !use(answer) {
			return nil
		}
	}
	return nil
}

// describe returns the event type of a query, if it can be asked.
func (qs *queries) describe(q any) (typ string, err error) {
	if _, raw := q.(event.Event); raw || q == nil {
		return "", fmt.Errorf("query: a %T is no query: ask with a value of its type", q)
	}
	typ, _, err = qs.style.Message(reflect.TypeOf(q))
	if err != nil {
		err = fmt.Errorf("query: %w", err)
	}
	return typ, err
}
