package idempotency_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// sent is an outbox that keeps what it gets.
type sent struct{ events []event.Event }

func (s *sent) Add(_ context.Context, _ string, events ...event.Event) error {
	s.events = append(s.events, events...)
	return nil
}

// handling returns the context of a delivery.
func handling(ctx context.Context, e event.Event, out event.Outbox) *event.Attempt {
	return &event.Attempt{Context: ctx, Info: event.Info{Event: e, Topic: "charge", Group: "billing", Attempt: 1}, Outbox: out}
}

// batch is what a batch came to: what was published, the results, the errors.
type batch struct {
	out     *sent
	results []string
	errs    []error
}

// deliver lets a handler have events as one batch.
func deliver(ctx context.Context, h event.BatchHandler, events ...event.Event) batch {
	d := batch{out: &sent{}}
	b := &event.Batch{Context: ctx}
	attempts := make([]*event.Attempt, len(events))
	for i, e := range events {
		attempts[i] = handling(ctx, e, d.out)
		b.Elements = append(b.Elements, attempts[i])
	}
	d.errs = event.ErrorsOf(h(b, events), len(events))
	if d.errs == nil {
		d.errs = make([]error, len(events))
	}
	for i, a := range attempts {
		r, _ := event.ResultOf(a)
		d.results = append(d.results, string(r.Data))
		if event.VerdictOf(d.errs[i]).Kind == event.Failed {
			a.RunAfter(ctx, event.Outcome{Kind: event.OutcomeRetried, Err: d.errs[i]})
		}
	}
	return d
}

func ids(events []event.Event) (all []string) {
	for _, e := range events {
		all = append(all, e.ID())
	}
	return all
}

// A batch in a transaction answers as one with leases does; and what waits behind one of its
// key isn't taken for done, though it was claimed with the others.
func TestInTxBatch(t *testing.T) {
	db := newDatabase()
	var runs [][]string
	h := idempotency.InTx(db).WrapBatch(func(ctx context.Context, events []event.Event) error {
		runs = append(runs, ids(events))
		for i, e := range events {
			own := event.Element(ctx, i)
			if err := errors.Join(
				event.SetResult(own, "text/plain", []byte("result of "+e.ID())),
				event.OutboxFrom(own).Add(own, "charged", order("from "+e.ID())),
			); err != nil {
				return err
			}
		}
		return nil
	})
	taken, behind := order("taken").WithKey("ada"), order("behind").WithKey("ada")
	tx, _, err := db.Begin(t.Context(), []idempotency.Key{idempotency.KeyOf("billing", taken)}, []idempotency.Claim{{}})
	require.NoError(t, err)
	d := deliver(t.Context(), h, taken, behind, order("1"), order("2"))
	require.ErrorIs(t, d.errs[0], idempotency.ErrBusy)
	require.ErrorIs(t, d.errs[1], event.ErrBehind)
	require.NoError(t, errors.Join(d.errs[2:]...))
	tx.Rollback(t.Context())
	for range 2 {
		d = deliver(t.Context(), h, taken, behind, order("1"), order("2"))
		require.NoError(t, errors.Join(d.errs...))
		require.Equal(t, []string{"result of taken", "result of behind", "result of 1", "result of 2"}, d.results)
	}
	require.Equal(t, [][]string{{"1"}, {"2"}, {"taken", "behind"}}, runs)
	require.Equal(t, []string{"from 1", "from 2", "from taken", "from behind"}, ids(db.relayed()))
}

// Of a batch the handler gets what wasn't done; the others are answered as it did, each
// with its own.
func TestBatch(t *testing.T) {
	once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
	soldOut := event.NewError("sold_out", "there is none left")
	var runs [][]string
	h := once.WrapBatch(func(ctx context.Context, events []event.Event) error {
		runs = append(runs, ids(events))
		failed := event.BatchError{}
		for i, e := range events {
			own := event.Element(ctx, i)
			out := event.OutboxFrom(own)
			if err := errors.Join(
				event.SetResult(own, "text/plain", []byte("result of "+e.ID())),
				out.Add(own, "charged", order("from "+e.ID())),
			); err != nil {
				return err
			}
			switch {
			case e.ID() == "fails" && len(runs) == 1:
				failed[i] = errNo
			case e.ID() == "rejected":
				failed[i] = event.Reject(soldOut)
			}
		}
		return failed
	})
	first := deliver(t.Context(), h, order("1"), order("fails"), order("rejected"), order("1"))
	require.Equal(t, []string{"1", "fails", "rejected"}, runs[0])
	require.NoError(t, first.errs[0])
	require.ErrorIs(t, first.errs[1], errNo)
	require.Equal(t, event.Rejected, event.VerdictOf(first.errs[2]).Kind)
	require.Equal(t, event.Postponed, event.VerdictOf(first.errs[3]).Kind, "it is in the batch twice")

	again := deliver(t.Context(), h, order("1"), order("fails"), order("rejected"), order("2"))
	require.Equal(t, []string{"fails", "2"}, runs[1])
	require.Equal(t, []string{"result of 1", "result of fails", "", "result of 2"}, again.results)
	require.Equal(t, []string{"from 1", "from fails", "from 2"}, ids(again.out.events))
	require.NoError(t, errors.Join(again.errs[0], again.errs[1], again.errs[3]))
	require.ErrorIs(t, again.errs[2], soldOut)
	require.Equal(t, event.Rejected, event.VerdictOf(again.errs[2]).Kind)
	st := once.Stats()
	require.EqualValues(t, 5, st.Claimed)
	require.EqualValues(t, 2, st.Suppressed)

	deliver(t.Context(), h, order("1"), order("2"))
	require.Len(t, runs, 2, "there was nothing to run for")
}

// What waits behind one of its key that somebody else has isn't claimed meanwhile.
func TestBatchBehind(t *testing.T) {
	store := idempotency.NewMemory(idempotency.MemoryConfig{})
	h := idempotency.Middleware(store).WrapBatch(func(_ context.Context, events []event.Event) error {
		require.Equal(t, []string{"other"}, ids(events))
		return nil
	})
	taken, behind := order("taken").WithKey("ada"), order("behind").WithKey("ada")
	_, err := store.Claim(t.Context(), idempotency.KeyOf("billing", taken), idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	d := deliver(t.Context(), h, taken, behind, order("other").WithKey("bob"))
	require.ErrorIs(t, d.errs[0], idempotency.ErrBusy)
	require.ErrorIs(t, d.errs[1], event.ErrBehind)
	require.NoError(t, d.errs[2])
	g, err := store.Claim(t.Context(), idempotency.KeyOf("billing", behind), idempotency.Claim{Lease: time.Minute})
	require.NoError(t, err)
	require.Equal(t, idempotency.Claimed, g.State)
}

// A batch ends when one of its claims does, and records nothing over who has it then.
func TestBatchOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.extend.Store(true)
		once := idempotency.Middleware(a, idempotency.Lease(time.Second))
		began := time.Now()
		h := once.WrapBatch(func(ctx context.Context, _ []event.Event) error {
			<-ctx.Done()
			require.ErrorIs(t, context.Cause(ctx), event.ErrLeaseLost)
			require.Equal(t, time.Second, time.Since(began))
			g, err := a.Claim(t.Context(), idempotency.KeyOf("billing", order("1")), idempotency.Claim{Lease: time.Minute})
			require.NoError(t, err)
			require.EqualValues(t, 2, g.Fence)
			return nil
		})
		d := deliver(t.Context(), h, order("1"), order("2"))
		require.ErrorIs(t, d.errs[0], idempotency.ErrFenced)
		require.Equal(t, event.Postponed, event.VerdictOf(d.errs[0]).Kind)
		require.NoError(t, d.errs[1], "nobody took over")
		require.EqualValues(t, 1, once.Stats().Fenced)
	})
}

// A batch is recorded when the store is back.
func TestBatchStoreIsAwayAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &away{Store: idempotency.NewMemory(idempotency.MemoryConfig{})}
		a.complete.Store(true)
		var runs atomic.Int64
		h := idempotency.Middleware(a).WrapBatch(func(_ context.Context, events []event.Event) error {
			runs.Add(int64(len(events)))
			return nil
		})
		time.AfterFunc(10*time.Minute, func() { a.complete.Store(false) })
		for range 2 {
			d := deliver(t.Context(), h, order("1"), order("2"))
			require.NoError(t, errors.Join(d.errs...))
		}
		require.EqualValues(t, 2, runs.Load())
		a.claim.Store(true)
		d := deliver(t.Context(), h, order("3"))
		require.Equal(t, event.Postponed, event.VerdictOf(d.errs[0]).Kind, "nothing runs unclaimed")
		require.EqualValues(t, 2, runs.Load())
	})
}
