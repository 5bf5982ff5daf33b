package idempotency_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// What is published when the handler has returned would go nowhere: it is an error.
func TestInTxPublishAfterTheHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var after context.Context
		b, ch, _, _ := counting(t, newDatabase(), func(ctx context.Context) error {
			after = ctx //nolint:fatcontext // it is used when it is over
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), order("1")))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Error(t, b.Publish(after, charged{"1"}))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A rejection that the database's trouble led to is none.
func TestInTxRejectInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		db.lost = true
		n := 0
		b, ch, once, _ := counting(t, db, func(context.Context) error {
			if n++; n == 1 {
				return event.Reject(errNo)
			}
			return nil
		})
		require.NoError(t, b.Publish(t.Context(), order("1")))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, map[string]int{"ada": 1}, db.balances())
		require.EqualValues(t, 1, once.Stats().Interrupted)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// One event that a commit refuses is no failure of the others of its batch.
func TestInTxBatchAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, ch := newDatabase(), memory.New()
		db.commit = func(n int) (error, error) {
			if n == 1 || n == 3 { // the batch's, and the second event's
				return fmt.Errorf("commit: %w", idempotency.ErrAborted), nil
			}
			return nil, nil
		}
		var sizes []int
		b := bus.New(bus.Config{Channel: ch})
		bus.SubscribeBatch(b, "billing", func(ctx context.Context, all []charge) error {
			sizes = append(sizes, len(all))
			add(ctx, "ada", len(all))
			return nil
		}, bus.With(idempotency.InTx(db)), bus.Batch(3, time.Second), bus.Retry(bus.Backoff{First: time.Second, Attempts: 1}))
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, b.PublishAll(t.Context(), order("1"), order("2"), order("3")))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, []int{3, 1, 1, 1}, sizes)
		require.Equal(t, map[string]int{"ada": 2}, db.balances())
		require.Equal(t, 1, letters(t, b))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A handler that ran out of time has failed, though its transaction's connection is gone: it
// is the handler that didn't wait.
func TestInTxOutOfTime(t *testing.T) {
	db := newDatabase()
	db.lost = true
	ctx, cancel := context.WithCancel(t.Context())
	once := idempotency.InTx(db)
	h := once.Wrap(func(context.Context, event.Event) error {
		cancel()
		return errNo
	})
	err := h(handling(ctx, order("1"), &sent{}), order("1"))
	require.ErrorIs(t, err, errNo)
	require.Equal(t, event.Failed, event.VerdictOf(err).Kind)
	require.Zero(t, once.Stats().Interrupted)
}
