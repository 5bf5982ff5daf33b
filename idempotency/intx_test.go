package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// teller is an application whose handler works in a transaction. What guards it is made by
// with.
func teller(with func(db *database) event.Middleware) func(w *bustest.World) {
	return func(w *bustest.World) {
		db := newDatabase()
		guard := with(db)
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "bank", func(ctx context.Context, d deposit) error {
				bustest.Step(ctx, "begun")
				add(ctx, d.Account, d.Cents)
				if err := b.Publish(ctx, booked{d.Account}); err != nil {
					return err
				}
				bustest.Step(ctx, "done")
				return nil
			}, bus.With(guard))
		})
		w.Publish(deposit{"ada", 100})
		w.Publish(deposit{"bob", 7})
		w.Publish(deposit{"ada", 20})
		w.State(func() any { return []any{db.balances(), len(db.relayed())} })
	}
}

// A handler's effect is applied once, and what it published is written once, wherever a
// process dies: between any two steps, those of the commit included.
func TestExploreInTx(t *testing.T) {
	bustest.Explore(t, teller(func(db *database) event.Middleware { return idempotency.InTx(db) }), bustest.Schedules(3000))
}

// What others do, or did, is found out.
func TestInTxMutants(t *testing.T) {
	begin := func(ctx context.Context, db *database, e event.Event) (idempotency.Transaction, idempotency.Grant, error) {
		tx, g, err := db.Begin(ctx, []idempotency.Key{keyIn(ctx, e)}, []idempotency.Claim{{}})
		return tx, g[0], err
	}
	for name, wrap := range map[string]func(db *database, next event.Handler) event.Handler{
		"acknowledges before it commits": func(db *database, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				tx, _, err := begin(ctx, db, e)
				if tx == nil {
					return err
				}
				if err := next(event.WithOutbox(tx.Context(ctx), nowhere{}), e); err != nil {
					tx.Rollback(ctx)
					return err
				}
				return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) {
					defer tx.Rollback(ctx)
					_ = tx.Commit(ctx, []idempotency.Record{{}})
				})
			}
		},
		"claims nothing": func(db *database, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				tx := &dbTx{db: db, accounts: map[string]int{}}
				if err := next(event.WithOutbox(tx.Context(ctx), nowhere{}), e); err != nil {
					return err
				}
				return tx.Commit(ctx, []idempotency.Record{{}})
			}
		},
		"marks before it runs": func(db *database, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				tx, _, err := begin(ctx, db, e)
				if tx == nil {
					return err
				}
				defer tx.Rollback(ctx)
				if err := tx.Commit(ctx, []idempotency.Record{{}}); err != nil {
					return err
				}
				own := &dbTx{db: db, accounts: map[string]int{}}
				if err := next(event.WithOutbox(own.Context(ctx), nowhere{}), e); err != nil {
					return err
				}
				return own.Commit(ctx, []idempotency.Record{{}})
			}
		},
		"publishes beside it": func(db *database, next event.Handler) event.Handler {
			return func(ctx context.Context, e event.Event) error {
				tx, _, err := begin(ctx, db, e)
				if tx == nil {
					return err
				}
				defer tx.Rollback(ctx)
				if err := next(event.WithOutbox(tx.Context(ctx), &beside{db}), e); err != nil {
					return err
				}
				return tx.Commit(ctx, []idempotency.Record{{}})
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			app := teller(func(db *database) event.Middleware {
				return event.MiddlewareFunc(func(next event.Handler) event.Handler { return wrap(db, next) })
			})
			if bustest.Search(t, app, bustest.Schedules(3000)).Failure == nil {
				t.Error("nothing that was tried shows it")
			}
		})
	}
}

type nowhere struct{}

func (nowhere) Add(context.Context, string, ...event.Event) error { return nil }

// beside writes to the outbox at once.
type beside struct{ db *database }

func (b *beside) Add(_ context.Context, topic string, events ...event.Event) error {
	b.db.mu.Lock()
	defer b.db.mu.Unlock()
	b.db.out = append(b.db.out, idempotency.Sent{Topic: topic, Events: events})
	return nil
}

// counting runs a handler in a transaction of a database, in virtual time.
func counting(t *testing.T, db *database, handle func(ctx context.Context) error) (*bus.Bus, *memory.Channel, *idempotency.OnceInTx, *int) {
	t.Helper()
	ch, once, runs := memory.New(), idempotency.InTx(db), new(int)
	b := bus.New(bus.Config{Channel: ch})
	bus.Subscribe(b, "billing", func(ctx context.Context, _ charge) error {
		*runs++
		add(ctx, "ada", 1)
		return handle(ctx)
	}, bus.With(once), bus.Retry(bus.Backoff{First: time.Second, Attempts: 3}))
	require.NoError(t, b.Start(t.Context()))
	return b, ch, once, runs
}

func nothing(context.Context) error { return nil }

// A commit that failed is tried again, which is no failure; one whose answer was lost has
// happened.
func TestInTxCommitFails(t *testing.T) {
	for name, c := range map[string]struct {
		commit      func(n int) (before, after error)
		lost        bool
		runs        int
		interrupted int64
	}{
		"before":      {commit: func(n int) (error, error) { return only(n < 9), nil }, runs: 9},
		"after":       {commit: func(n int) (error, error) { return nil, only(n == 1) }, runs: 1},
		"interrupted": {commit: func(n int) (error, error) { return only(n < 9), nil }, lost: true, runs: 9, interrupted: 8},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newDatabase()
				db.commit, db.lost = c.commit, c.lost
				b, ch, once, runs := counting(t, db, nothing)
				require.NoError(t, b.Publish(t.Context(), order("1")))
				synctest.Wait()
				if c.lost {
					require.NoError(t, b.Ready())
				} else {
					require.Error(t, b.Ready(), "the Bus isn't ready while the database doesn't answer")
				}
				require.NoError(t, ch.Quiet(t.Context()))
				require.NoError(t, b.Ready())
				require.NoError(t, b.Shutdown(t.Context()))
				require.Equal(t, map[string]int{"ada": 1}, db.balances())
				require.Equal(t, c.runs, *runs)
				require.Equal(t, c.interrupted, once.Stats().Interrupted)
			})
		})
	}
}

func only(yes bool) error {
	if yes {
		return errNo
	}
	return nil
}

// What the database interrupts, and a transaction that was aborted, are told apart.
func TestInTxFailures(t *testing.T) {
	for name, c := range map[string]struct {
		lost bool
		dead int
	}{
		"a failure":               {dead: 1},
		"a transaction is broken": {lost: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				db := newDatabase()
				db.lost = c.lost
				n := 0
				b, ch, _, _ := counting(t, db, func(context.Context) error { n++; return only(n <= 5) })
				require.NoError(t, b.Publish(t.Context(), order("1")))
				require.NoError(t, ch.Quiet(t.Context()))
				require.Equal(t, c.dead, letters(t, b))
				require.Len(t, db.balances(), 1-c.dead)
				require.NoError(t, b.Shutdown(t.Context()))
			})
		})
	}
}

func letters(t *testing.T, b *bus.Bus) (n int) {
	t.Helper()
	for _, err := range b.DeadLetters(t.Context(), "billing") {
		require.NoError(t, err)
		n++
	}
	return n
}

// A transaction that was aborted is a failure of its handler, up to the dead letter.
func TestInTxAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		db.commit = func(int) (error, error) { return fmt.Errorf("commit: %w", idempotency.ErrAborted), nil }
		b, ch, _, runs := counting(t, db, nothing)
		require.NoError(t, b.Publish(t.Context(), order("1")))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, 3, *runs)
		require.Equal(t, 1, letters(t, b))
		require.NoError(t, b.Publish(t.Context(), order("1")))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, 3, *runs, "it is known to have failed")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// Who comes in between a rollback and the record of a rejection has the say.
func TestInTxRejectOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := newDatabase()
		e := order("1")
		b, ch, _, _ := counting(t, db, func(context.Context) error {
			return event.Reject(errors.New("no"))
		})
		db.commit = func(n int) (error, error) {
			if n == 1 { // of the rejection; another has succeeded before
				db.accounts["ada"] += 5
				db.done[idempotency.KeyOf("billing", e)] = done{}
				return errNo, nil
			}
			return nil, nil
		}
		require.NoError(t, b.Publish(t.Context(), e))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, map[string]int{"ada": 5}, db.balances())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A start without a database, or with one that forgets too soon, is refused.
func TestInTxIsChecked(t *testing.T) {
	require.NoError(t, idempotency.InTx(newDatabase()).CheckStart(event.Subscription{}, event.Guarantees{RedeliveryHorizon: time.Hour}))
	require.Error(t, idempotency.InTx(newDatabase()).CheckStart(event.Subscription{}, event.Guarantees{RedeliveryHorizon: 2 * time.Hour}))
	require.Error(t, idempotency.InTx(nil).CheckStart(event.Subscription{}, event.Guarantees{}))
}
