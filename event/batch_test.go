package event_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// batch returns the context of a batch handler of n events, and the attempts.
func batch(ctx context.Context, n int) (*event.Batch, []*event.Attempt) {
	b := &event.Batch{Context: ctx}
	attempts := make([]*event.Attempt, n)
	for i := range attempts {
		e := event.Attributes{ID: fmt.Sprint(i), Source: "/shop", Type: "row", Extensions: []event.Extension{{Name: event.ExtTenant, Value: fmt.Sprint("tenant-", i)}}}.Event()
		attempts[i] = handling(e)
		attempts[i].Outbox = outbox{fmt.Sprint("own of ", i)}
		b.Elements = append(b.Elements, attempts[i])
	}
	return b, attempts
}

func TestBatchError(t *testing.T) {
	boom, bang := errors.New("boom"), errors.New("bang")
	err := fmt.Errorf("wrapped: %w", event.BatchError{4: bang, 2: event.Permanent(boom)})
	require.NotErrorIs(t, err, boom, "it is about one event")
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	assert.Equal(t, "wrapped: event: 2 events of the batch failed; [2] permanent: boom", err.Error())
	some, ok := errors.AsType[event.BatchError](err)
	require.True(t, ok)
	assert.Equal(t, event.BatchError{4: bang, 2: event.Permanent(boom)}, some)
	assert.Equal(t, "event: no event of the batch failed", event.BatchError{}.Error())
}

func TestErrorsOf(t *testing.T) {
	boom, bang := errors.New("boom"), errors.New("bang")
	some := event.BatchError{0: event.Reject(boom), 2: boom}
	kinds := func(err error) string {
		var s string
		for _, err := range event.ErrorsOf(err, 3) {
			s += event.VerdictOf(err).Kind.String() + " "
		}
		return strings.TrimSpace(s)
	}
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"nil":                    {nil, ""},
		"another":                {bang, "failed failed failed"},
		"another, marked":        {event.Permanent(bang), "failed for good failed for good failed for good"},
		"some":                   {some, "rejected done failed"},
		"some, wrapped":          {fmt.Errorf("insert: %w", some), "rejected done failed"},
		"joined with another":    {errors.Join(some, bang), "failed failed failed"},
		"with another":           {fmt.Errorf("%w, %w", some, bang), "failed failed failed"},
		"with another, marked":   {errors.Join(some, event.Permanent(bang)), "failed for good failed for good failed for good"},
		"marked":                 {event.Postpone(time.Hour, some), "postponed done postponed"},
		"marked, wrapped":        {fmt.Errorf("x: %w", event.Permanent(fmt.Errorf("y: %w", some))), "failed for good done failed for good"},
		"marked, joined":         {errors.Join(event.Permanent(event.BatchError{0: boom}), event.BatchError{0: bang, 1: bang}), "failed for good failed done"},
		"nested":                 {event.BatchError{0: event.BatchError{1: event.Reject(boom)}}, "failed done done"},
		"beyond":                 {event.BatchError{0: event.Reject(boom), 3: boom}, "failed failed failed"},
		"beyond, marked":         {event.Reject(event.BatchError{-1: boom}), "failed failed failed"},
		"joined of none":         {errors.Join(event.BatchError{}, event.BatchError{1: nil}), "done done done"},
		"marked, without errors": {event.Reject(event.BatchError{1: nil}), "done done done"},
	} {
		assert.Equal(t, c.want, kinds(c.err), name)
	}
	marked := event.ErrorsOf(event.Postpone(time.Hour, event.BatchError{1: boom}), 2)
	require.ErrorIs(t, marked[1], boom)
	assert.Equal(t, event.Verdict{Kind: event.Postponed, After: time.Hour, Timed: true}, event.VerdictOf(marked[1]))
	require.EqualError(t, event.ErrorsOf(event.BatchError{5: boom}, 2)[0], "event: BatchError names event 5 of a batch of 2: event: 1 events of the batch failed; [5] boom")
}

func TestInBatch(t *testing.T) {
	b, _ := batch(t.Context(), 2)
	ctx, cancel := context.WithTimeout(context.WithValue(b, key{}, 1), time.Hour)
	defer cancel()
	assert.True(t, event.InBatch(b))
	assert.True(t, event.InBatch(ctx), "and in what was made from it")
	assert.True(t, event.InBatch(event.Elements(ctx, []int{1})))
	assert.False(t, event.InBatch(event.Element(ctx, 1)), "that is one event")
	assert.False(t, event.InBatch(t.Context()))
	assert.False(t, event.InBatch(handling(full())))
	assert.True(t, event.Handling(ctx))
	_, ok := event.FromContext(ctx)
	assert.False(t, ok, "a batch is no single event")
	require.ErrorIs(t, event.SetResult(ctx, "", nil), event.ErrNotHandling)
}

func TestElement(t *testing.T) {
	outer, cancel := context.WithCancelCause(context.WithValue(event.WithOrigin(t.Context(), event.Origin{Tenant: "outside"}), key{}, "outside"))
	b, attempts := batch(outer, 3)
	ctx := context.WithValue(b, key{}, "since")
	for i := range attempts {
		one := event.Element(ctx, i)
		info, ok := event.FromContext(one)
		assert.True(t, ok)
		assert.Equal(t, fmt.Sprint(i), info.Event.ID())
		assert.Equal(t, "since", one.Value(key{}))
		assert.Equal(t, outbox{fmt.Sprint("own of ", i)}, event.OutboxFrom(one))
		origin, _ := event.OriginFrom(one)
		assert.Equal(t, fmt.Sprint("tenant-", i), origin.Tenant, "not from outside of the handler")
		require.NoError(t, event.SetResult(one, "text/plain", []byte(info.Event.ID())))
		r, _ := event.ResultOf(attempts[i])
		assert.Equal(t, info.Event.ID(), string(r.Data))
		require.NoError(t, event.OnOutcome(one, nil, func(context.Context, event.Outcome) {}))
		_, after := attempts[i].Watched()
		assert.True(t, after)
	}
	one := event.Element(ctx, 0)
	require.NoError(t, one.Err())
	cancel(event.ErrLeaseLost)
	<-one.Done()
	require.ErrorIs(t, context.Cause(one), event.ErrLeaseLost, "it ends with the batch")
	assert.Panics(t, func() { event.Element(ctx, 3) })
	assert.Panics(t, func() { event.Element(t.Context(), 0) })
	assert.Panics(t, func() { event.Element(handling(full()), 0) })
}

func TestOutboxOfABatch(t *testing.T) {
	b, _ := batch(event.WithOutbox(t.Context(), outbox{"outside"}), 2)
	require.ErrorIs(t, event.OutboxFrom(b).Add(b, "topic"), event.ErrInBatch, "nobody could tell whose it is")
	near := event.WithOutbox(b, outbox{"near"})
	assert.Equal(t, outbox{"near"}, event.OutboxFrom(near))
	assert.Equal(t, outbox{"near"}, event.OutboxFrom(event.Element(near, 1)), "nearer than the event's own")
	assert.Equal(t, outbox{"own of 1"}, event.OutboxFrom(event.Element(b, 1)))
	origin := event.WithOrigin(b, event.Origin{Traceparent: "00-1-2-01"})
	got, _ := event.OriginFrom(event.Element(origin, 1))
	assert.Equal(t, "00-1-2-01", got.Traceparent, "said since the batch began")
	assert.Equal(t, "tenant-1", got.Tenant)
}

func TestElements(t *testing.T) {
	b, _ := batch(t.Context(), 4)
	some := context.WithValue(event.Elements(context.WithValue(b, key{}, "since"), []int{3, 1, 0}), key{}, "later")
	fewer := event.Elements(some, []int{2, 0})
	ids := func(ctx context.Context, n int) (all []string) {
		for i := range n {
			info, _ := event.FromContext(event.Element(ctx, i))
			all = append(all, info.Event.ID())
		}
		return all
	}
	assert.Equal(t, []string{"3", "1", "0"}, ids(some, 3))
	assert.Equal(t, []string{"0", "3"}, ids(fewer, 2), "some of some")
	assert.Equal(t, "later", event.Element(fewer, 0).Value(key{}))
	assert.Equal(t, []string{"0", "1", "2", "3"}, ids(b, 4), "the batch is as it was")
	assert.Panics(t, func() { event.Element(fewer, 2) })
	assert.Panics(t, func() { event.Elements(t.Context(), nil) })
}
