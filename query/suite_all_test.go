package query_test

import (
	"context"
	"reflect"
	"sync/atomic"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/query"
)

func typeOf[T any]() reflect.Type { return reflect.TypeFor[T]() }

// Each application that handles the type answers once, also with an error, and who asks all doesn't wait longer than
// for all that are there.
func testEverybody(w *world) {
	client := w.bus("client")
	var calls atomic.Int64
	for _, app := range []string{"a", "a", "b", "c"} {
		b := w.bus(app)
		query.Handle(b, func(_ context.Context, q getOrder) (order, error) {
			calls.Add(1)
			if app == "c" {
				return order{}, errUnknown
			}
			return order{ID: app + q.ID}, nil
		})
		w.start(b)
	}
	w.start(client)
	for n := range 3 {
		calls.Store(0)
		ctx := w.within(time.Hour)
		got := make(map[string]string)
		for r, err := range query.AskAll[order](ctx, client, getOrder{ID: "1"}) {
			if r.App == w.app("c") {
				require.ErrorIs(w.t, err, errUnknown)
				got[r.App] = "unknown"
				continue
			}
			require.NoError(w.t, err)
			got[r.App] = r.Value.ID
		}
		require.Equal(w.t, map[string]string{w.app("a"): "a1", w.app("b"): "b1", w.app("c"): "unknown"}, got, n)
		require.NoError(w.t, ctx.Err(), "it ends when all have answered")
		require.EqualValues(w.t, 3, calls.Load())
	}
}

// Who has enough leaves; what comes later is dropped. Where one of several doesn't answer, the deadline ends it, without
// an error.
func testEnough(w *world) {
	client, quick, slow := w.bus("client"), w.bus("quick"), w.bus("slow")
	query.Handle(quick, func(context.Context, getOrder) (order, error) { return order{ID: "quick"}, nil })
	let := make(chan struct{})
	query.Handle(slow, func(ctx context.Context, q getOrder) (order, error) {
		if q.ID == "never" {
			<-ctx.Done()
			return order{}, nil
		}
		<-let
		return order{ID: "slow"}, nil
	})
	w.start(client, quick, slow)
	for r, err := range query.AskAll[order](w.within(time.Hour), client, getOrder{}) {
		require.NoError(w.t, err)
		require.Equal(w.t, order{ID: "quick"}, r.Value)
		break
	}
	close(let)
	require.Eventually(w.t, func() bool { return query.StatsOf(client).Dropped == 1 }, time.Minute, time.Millisecond)

	var got []string
	for r, err := range query.AskAll[order](w.within(2*time.Second), client, getOrder{ID: "never"}) {
		require.NoError(w.t, err)
		got = append(got, r.Value.ID)
	}
	require.Equal(w.t, []string{"quick"}, got)
}
