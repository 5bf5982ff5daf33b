package idempotency_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

type charge struct{ Order string }

type charged struct{ Order string }

var errNo = errors.New("no")

// kit is a bus whose one handler is guarded.
type kit struct {
	*bus.Bus
	t     *testing.T
	ch    *memory.Channel
	store *idempotency.Memory
	once  *idempotency.Once
	runs  int
	out   []event.Event // of the type charged, as others get them
}

func newKit(t *testing.T, handle func(k *kit, ctx context.Context) error, opts ...idempotency.Option) *kit {
	t.Helper()
	k := &kit{t: t, ch: memory.New(), store: idempotency.NewMemory(idempotency.MemoryConfig{})}
	k.once = idempotency.Middleware(k.store, opts...)
	k.Bus = bus.New(bus.Config{Channel: k.ch})
	bus.Subscribe(k.Bus, "billing", func(ctx context.Context, _ charge) error {
		k.runs++
		return handle(k, ctx)
	}, bus.With(k.once), bus.Retry(bus.Backoff{First: time.Second, Attempts: 3}))
	bus.SubscribeRaw(k.Bus, "audit", []string{"charged"}, func(_ context.Context, e event.Event) error {
		k.out = append(k.out, e)
		return nil
	})
	require.NoError(t, k.Start(t.Context()))
	return k
}

func order(id string) event.Event {
	return event.New("/shop", "charge", []byte(`{"Order":"42"}`)).WithData("application/json", []byte(`{"Order":"42"}`)).WithID(id)
}

func (k *kit) publish(events ...event.Event) {
	k.t.Helper()
	for _, e := range events {
		require.NoError(k.t, k.Publish(k.t.Context(), e))
	}
}

func (k *kit) settle() {
	k.t.Helper()
	require.NoError(k.t, k.ch.Quiet(k.t.Context()))
	synctest.Wait()
}

// A duplicate doesn't run the handler, and what it published goes out again by the same
// ids.
func TestDuplicate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, func(k *kit, ctx context.Context) error {
			return k.Bus.Publish(ctx, charged{"42"})
		})
		k.publish(order("1"), order("1"), order("2"), order("1"))
		k.settle()
		require.Equal(t, 2, k.runs)
		require.Len(t, k.out, 4)
		require.True(t, k.out[1].Equal(k.out[0]))
		require.True(t, k.out[3].Equal(k.out[0]))
		require.NotEqual(t, k.out[2].ID(), k.out[0].ID())
		require.Equal(t, idempotency.Stats{Claimed: 2, Suppressed: 2}, k.once.Stats())
		require.NoError(t, k.Shutdown(t.Context()))
	})
}

// A failure leaves nothing behind: the retry runs. A failure for good suppresses what
// comes again by itself, and not what is driven again.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, func(k *kit, _ context.Context) error {
			if k.runs <= 3 {
				return errNo
			}
			return nil
		})
		k.publish(order("1"))
		k.settle()
		require.Equal(t, 3, k.runs)
		k.publish(order("1"))
		k.settle()
		require.Equal(t, 3, k.runs, "its dead letter is there")
		for dead, err := range k.DeadLetters(t.Context(), "billing") {
			require.NoError(t, err)
			require.NoError(t, k.Redrive(t.Context(), dead))
		}
		k.settle()
		require.Equal(t, 4, k.runs)
		k.publish(order("1"))
		k.settle()
		require.Equal(t, 4, k.runs)
		require.NoError(t, k.Shutdown(t.Context()))
	})
}

// The answer no is an answer: it is given again.
func TestRejection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soldOut := event.NewError("sold_out", "there is none left")
		k := newKit(t, func(k *kit, ctx context.Context) error {
			require.NoError(k.t, k.Bus.Publish(ctx, charged{"42"}))
			return event.Reject(soldOut)
		})
		k.publish(order("1"), order("1"))
		k.settle()
		require.Equal(t, 1, k.runs)
		require.Empty(t, k.out)
		require.NoError(t, k.Shutdown(t.Context()))
	})
}

// An id that was used for another payload is a dead letter; one that was derived is
// suppressed: the first is out.
func TestMismatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, func(*kit, context.Context) error { return nil })
		other := order("1").WithData("application/json", []byte(`{"Order":"43"}`))
		k.publish(order("1"), other, order("d-1"), other.WithID("d-1"))
		k.settle()
		require.Equal(t, 2, k.runs)
		require.EqualValues(t, 2, k.once.Stats().Mismatched)
		n := 0
		for dead, err := range k.DeadLetters(t.Context(), "billing") {
			require.NoError(t, err)
			require.Equal(t, "1", dead.Event.ID())
			require.Contains(t, dead.Cause.Text, "another payload")
			n++
		}
		require.Equal(t, 1, n)
		require.NoError(t, k.Shutdown(t.Context()))
	})
}

// A claim is kept for as long as its handler runs, and the duplicate waits without a
// failure.
func TestLongRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := idempotency.NewMemory(idempotency.MemoryConfig{})
		once := idempotency.Middleware(store, idempotency.Lease(time.Second))
		runs := 0
		h := once.Wrap(func(ctx context.Context, _ event.Event) error {
			runs++
			require.EqualValues(t, 1, idempotency.Fence(ctx))
			time.Sleep(time.Minute) // virtual
			return ctx.Err()
		})
		done := make(chan error, 1)
		go func() { done <- h(t.Context(), order("1")) }()
		time.Sleep(30 * time.Second) // virtual
		err := h(t.Context(), order("1"))
		require.ErrorIs(t, err, idempotency.ErrBusy)
		v := event.VerdictOf(err)
		require.Equal(t, event.Postponed, v.Kind)
		require.Positive(t, v.After)
		require.LessOrEqual(t, v.After, time.Second)
		require.NoError(t, <-done)
		require.NoError(t, h(t.Context(), order("1")))
		require.Equal(t, 1, runs)
	})
}

// away is a store that doesn't answer, while its switch is on.
type away struct {
	idempotency.Store

	claim, extend, complete atomic.Bool
}

func (a *away) Claim(ctx context.Context, k idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	if a.claim.Load() {
		return idempotency.Grant{}, errNo
	}
	return a.Store.Claim(ctx, k, c)
}

func (a *away) Extend(ctx context.Context, k idempotency.Key, fence uint64, d time.Duration) error {
	if a.extend.Load() {
		return errNo
	}
	return a.Store.Extend(ctx, k, fence, d)
}

func (a *away) Complete(ctx context.Context, k idempotency.Key, fence uint64, r idempotency.Record) error {
	if a.complete.Load() {
		return errNo
	}
	return a.Store.Complete(ctx, k, fence, r)
}

// Without the store nothing runs, and that is no failure of the event.
func TestStoreIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.claim.Store(true)
		once := idempotency.Middleware(a)
		h := once.Wrap(func(context.Context, event.Event) error { return errors.New("it ran") })
		for n, wait := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond, 800 * time.Millisecond} {
			err := h(t.Context(), order("1"))
			require.Equal(t, event.Verdict{Kind: event.Postponed, Timed: true, After: wait}, event.VerdictOf(err), n)
			require.Error(t, once.Ready())
		}
		a.claim.Store(false)
		require.ErrorContains(t, h(t.Context(), order("1")), "it ran")
		require.NoError(t, once.Ready())
	})
}

// A success is recorded when the store is back, as long as the claim lasts.
func TestStoreIsAwayAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.complete.Store(true)
		once := idempotency.Middleware(a, idempotency.Lease(time.Minute))
		runs := 0
		h := once.Wrap(func(context.Context, event.Event) error { runs++; return nil })
		time.AfterFunc(10*time.Minute, func() { a.complete.Store(false) })
		require.NoError(t, h(t.Context(), order("1")), "claims are extended meanwhile")
		require.NoError(t, h(t.Context(), order("1")))
		require.Equal(t, 1, runs)
	})
}

// Who can't extend a claim stops when it ends, and records nothing over who has it then.
func TestOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.extend.Store(true)
		once := idempotency.Middleware(a, idempotency.Lease(time.Second))
		began := time.Now()
		var fences []uint64
		h := once.Wrap(func(ctx context.Context, _ event.Event) error {
			fences = append(fences, idempotency.Fence(ctx))
			if len(fences) > 1 {
				return nil
			}
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
			require.Equal(t, time.Second, time.Since(began))
			time.Sleep(time.Hour) // virtual; it doesn't listen
			return nil
		})
		done := make(chan error, 1)
		go func() { done <- h(t.Context(), order("1")) }()
		time.Sleep(2 * time.Second) // virtual
		require.NoError(t, h(t.Context(), order("1")))
		err := <-done
		require.ErrorIs(t, err, idempotency.ErrFenced)
		require.Equal(t, event.Postponed, event.VerdictOf(err).Kind)
		require.Equal(t, []uint64{1, 2}, fences)
		require.EqualValues(t, 1, once.Stats().Fenced)
	})
}

// A success counts also when the claim has ended meanwhile, as long as nobody took over.
func TestSuccessAfterTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.extend.Store(true)
		runs := 0
		h := idempotency.Middleware(a, idempotency.Lease(time.Second)).Wrap(func(context.Context, event.Event) error {
			runs++
			time.Sleep(5 * time.Second) // virtual
			return nil
		})
		require.NoError(t, h(t.Context(), order("1")))
		require.NoError(t, h(t.Context(), order("1")))
		require.Equal(t, 1, runs)
	})
}

// What a store forgets too soon is a mistake at the start.
func TestWindowIsChecked(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{Window: time.Hour}))
	require.NoError(t, once.CheckStart(event.Subscription{}, event.Guarantees{RedeliveryHorizon: time.Hour}))
	require.ErrorContains(t, once.CheckStart(event.Subscription{}, event.Guarantees{Channel: "sqs", RedeliveryHorizon: 14 * 24 * time.Hour}),
		"the store keeps records for 1h0m0s, and sqs can bring an event again after 336h0m0s")
	require.Error(t, idempotency.Middleware(nil).CheckStart(event.Subscription{}, event.Guarantees{}))
}
