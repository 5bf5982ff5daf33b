package event_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// handling returns the context of a handler of e.
func handling(e event.Event) *event.Attempt {
	return &event.Attempt{Context: new(event.Lease), Info: event.Info{Event: e, Topic: "orders", Group: "shop.mailer", Attempt: 2, Failures: 1}}
}

func TestFromContext(t *testing.T) {
	_, ok := event.FromContext(t.Context())
	assert.False(t, ok)
	assert.False(t, event.Handling(t.Context()))

	ctx, cancel := context.WithTimeout(context.WithValue(handling(full()), key{}, 1), time.Hour)
	defer cancel()
	info, ok := event.FromContext(ctx)
	assert.True(t, ok)
	assert.True(t, event.Handling(ctx))
	assert.Equal(t, "orders", info.Topic)
	assert.Equal(t, "shop.mailer", info.Group)
	assert.Equal(t, 2, info.Attempt)
	assert.Equal(t, 1, info.Failures)
	assert.True(t, info.Event.Equal(full()))
	assert.False(t, info.Position.Valid())

	inner := &event.Attempt{Context: ctx, Info: event.Info{Topic: "inner"}}
	info, _ = event.FromContext(inner)
	assert.Equal(t, "inner", info.Topic, "the nearest")
	assert.Equal(t, 1, inner.Value(key{}), "other values are found")
}

func TestResult(t *testing.T) {
	require.ErrorIs(t, event.SetResult(t.Context(), "text/plain", nil), event.ErrNotHandling)
	_, ok := event.ResultOf(t.Context())
	assert.False(t, ok)

	a := handling(full())
	_, ok = event.ResultOf(a)
	assert.False(t, ok)
	ctx := context.WithValue(a, key{}, 1)
	require.NoError(t, event.SetResult(ctx, "text/plain", []byte("first")))
	require.NoError(t, event.SetResult(ctx, "application/json", []byte("2")))
	r, ok := event.ResultOf(a)
	assert.True(t, ok)
	assert.Equal(t, event.Result{ContentType: "application/json", Data: []byte("2")}, r, "the last one counts")

	_, ok = event.ResultOf(handling(full()))
	assert.False(t, ok, "each attempt starts without")
	require.NoError(t, event.SetResult(ctx, "", nil))
	_, ok = event.ResultOf(a)
	assert.True(t, ok, "an empty result is one")
}

type outbox struct{ name string }

func (outbox) Add(context.Context, string, ...event.Event) error { return nil }

func TestOutboxNearestWins(t *testing.T) {
	assert.Nil(t, event.OutboxFrom(t.Context()))
	outer := event.WithOutbox(t.Context(), outbox{"outer"})
	assert.Equal(t, outbox{"outer"}, event.OutboxFrom(outer))

	a := &event.Attempt{Context: outer}
	assert.Equal(t, outbox{"outer"}, event.OutboxFrom(a), "an attempt without one passes on")
	a.Outbox = outbox{"attempt"}
	assert.Equal(t, outbox{"attempt"}, event.OutboxFrom(a))
	nearer := event.WithOutbox(context.WithValue(a, key{}, 1), outbox{"nearer"})
	assert.Equal(t, outbox{"nearer"}, event.OutboxFrom(nearer))
	assert.Equal(t, outbox{"attempt"}, event.OutboxFrom(a))
}

func TestOnOutcomeOutsideAHandler(t *testing.T) {
	require.ErrorIs(t, event.OnOutcome(t.Context(), nil, func(context.Context, event.Outcome) {}), event.ErrNotHandling)
}

func TestOnOutcomeRunsInOrder(t *testing.T) {
	a := handling(full())
	before, after := a.Watched()
	assert.False(t, before)
	assert.False(t, after)
	var story []string
	var seen []event.Outcome
	note := func(what string) (func(context.Context, event.Outcome) error, func(context.Context, event.Outcome)) {
		return func(_ context.Context, o event.Outcome) error {
				story, seen = append(story, "before "+what), append(seen, o)
				return nil
			}, func(_ context.Context, o event.Outcome) {
				story, seen = append(story, "after "+what), append(seen, o)
			}
	}
	b1, a1 := note("1")
	b2, a2 := note("2")
	require.NoError(t, event.OnOutcome(context.WithValue(a, key{}, 1), b1, a1))
	require.NoError(t, event.OnOutcome(a, b2, nil))
	require.NoError(t, event.OnOutcome(a, nil, a2))
	require.NoError(t, event.OnOutcome(a, nil, nil))
	before, after = a.Watched()
	assert.True(t, before)
	assert.True(t, after)
	o := event.Outcome{Kind: event.OutcomeDead, Err: errors.New("no")}
	require.NoError(t, a.RunBefore(t.Context(), o))
	a.RunAfter(t.Context(), o)
	assert.Equal(t, []string{"before 1", "before 2", "after 1", "after 2"}, story)
	assert.Equal(t, []event.Outcome{o, o, o, o}, seen)
	require.NoError(t, a.RunBefore(t.Context(), o))
	a.RunAfter(t.Context(), o)
	assert.Len(t, story, 4, "each ran once")
}

func TestRunBeforeGoesOnWithTheOneThatFailed(t *testing.T) {
	a := handling(full())
	runs := map[string]int{}
	failures := 2
	step := func(name string, fails bool) {
		require.NoError(t, event.OnOutcome(a, func(context.Context, event.Outcome) error {
			runs[name]++
			if fails && failures > 0 {
				failures--
				return errors.New("not yet")
			}
			return nil
		}, nil))
	}
	step("first", false)
	step("second", true)
	step("third", false)
	require.Error(t, a.RunBefore(t.Context(), event.Outcome{}))
	require.Error(t, a.RunBefore(t.Context(), event.Outcome{}))
	assert.Equal(t, map[string]int{"first": 1, "second": 2}, runs)
	require.NoError(t, a.RunBefore(t.Context(), event.Outcome{}))
	assert.Equal(t, map[string]int{"first": 1, "second": 3, "third": 1}, runs)
}

func TestChain(t *testing.T) {
	var story []string
	named := func(name string) event.Middleware {
		return event.MiddlewareFunc(func(next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				story = append(story, name)
				return next(ctx, e)
			}
		})
	}
	h := event.Chain(func(context.Context, event.Event) error {
		story = append(story, "handler")
		return event.ErrFull
	}, named("outer"), named("inner"))
	require.ErrorIs(t, h(t.Context(), full()), event.ErrFull)
	assert.Equal(t, []string{"outer", "inner", "handler"}, story)
}
