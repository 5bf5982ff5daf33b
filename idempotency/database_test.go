package idempotency_test

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// database is a small one with transactions: accounts, records of what was done, an outbox.
type database struct {
	mu       sync.Mutex
	accounts map[string]int
	done     map[idempotency.Key]done
	locked   map[idempotency.Key]bool
	out      []idempotency.Sent

	commit func(n int) (before, after error) // of the n-th commit, from 1: fails before, or after
	lost   bool                              // whether a failure is the database's
	n      int
}

type done struct {
	fingerprint string
	failed      bool
	record      idempotency.Record
}

func newDatabase() *database {
	return &database{
		accounts: map[string]int{}, done: map[idempotency.Key]done{}, locked: map[idempotency.Key]bool{},
		commit: func(int) (error, error) { return nil, nil },
	}
}

type dbTx struct {
	db       *database
	keys     []idempotency.Key // claimed
	at       []int
	prints   []string
	accounts map[string]int // what is added
	over     bool
}

type dbKey struct{}

// add is an effect in the transaction of a handler.
func add(ctx context.Context, account string, cents int) {
	ctx.Value(dbKey{}).(*dbTx).accounts[account] += cents
}

func (d *database) Begin(ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim) (idempotency.Transaction, []idempotency.Grant, error) {
	bustest.Step(ctx, "begin")
	d.mu.Lock()
	defer d.mu.Unlock()
	t := &dbTx{db: d, accounts: map[string]int{}}
	grants := make([]idempotency.Grant, len(keys))
	for i, k := range keys {
		known, ok := d.done[k]
		switch {
		case d.locked[k]:
			grants[i] = idempotency.Grant{State: idempotency.Busy, Left: time.Second}
		case ok && known.fingerprint != "" && known.fingerprint != claims[i].Fingerprint:
			grants[i].State = idempotency.Mismatch
		case ok && known.failed && !claims[i].Retake:
			grants[i].State = idempotency.Failed
		case ok && !known.failed:
			grants[i] = idempotency.Grant{State: idempotency.Completed, Record: known.record}
		default:
			d.locked[k] = true
			t.keys, t.at, t.prints = append(t.keys, k), append(t.at, i), append(t.prints, claims[i].Fingerprint)
		}
	}
	if len(t.keys) == 0 {
		return nil, grants, nil
	}
	return t, grants, nil
}

func (d *database) Fail(_ context.Context, k idempotency.Key) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if known, ok := d.done[k]; !ok || known.failed {
		d.done[k] = done{failed: true}
	}
	return nil
}

func (d *database) Window() time.Duration { return time.Hour }

func (d *database) balances() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.accounts)
}

func (t *dbTx) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, dbKey{}, t)
}

func (t *dbTx) Commit(ctx context.Context, records []idempotency.Record) error {
	bustest.Step(ctx, "commit")
	before, after := t.apply(records)
	if before != nil {
		return before
	}
	bustest.Step(ctx, "committed")
	return after
}

func (t *dbTx) apply(records []idempotency.Record) (before, after error) {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	t.db.n++
	before, after = t.db.commit(t.db.n)
	if before != nil {
		t.end()
		return before, nil
	}
	for a, cents := range t.accounts {
		t.db.accounts[a] += cents
	}
	for n, k := range t.keys {
		r := records[t.at[n]]
		t.db.out = append(t.db.out, r.Sent...)
		r.Sent = nil
		t.db.done[k] = done{fingerprint: t.prints[n], record: r}
	}
	t.end()
	return nil, after
}

// end lets go of the keys. mu is held.
func (t *dbTx) end() {
	if !t.over {
		t.over = true
		for _, k := range t.keys {
			delete(t.db.locked, k)
		}
	}
}

func (t *dbTx) Rollback(context.Context) {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	t.end()
}

func (t *dbTx) Interrupted(error) bool {
	t.db.mu.Lock()
	defer t.db.mu.Unlock()
	return t.db.lost
}

// relayed returns all events of the outbox.
func (d *database) relayed() (all []event.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.out {
		all = append(all, s.Events...)
	}
	return all
}
