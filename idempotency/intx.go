package idempotency

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// OnceInTx is a middleware that runs a handler in a transaction, in which its effect is
// recorded too. Make it with [InTx].
type OnceInTx struct {
	db    Transactor
	stats stats
}

var (
	_ event.Middleware      = (*OnceInTx)(nil)
	_ event.BatchMiddleware = (*OnceInTx)(nil)
	_ event.StartChecker    = (*OnceInTx)(nil)
	_ event.ReadyChecker    = (*OnceInTx)(nil)
)

// InTx returns a middleware that runs a handler in a transaction. What the handler does in
// it, the record that it was done, and what it published commit together: the effect
// happens once, whatever ends when. What it does outside of the transaction it does at
// least once.
//
// nil commits. So does a rejection ([event.Reject]), in a transaction of its own: what the
// handler did is rolled back, and the rejection recorded. Any other error rolls back. What
// was published goes to the database's outbox, not to the channel.
func InTx(db Transactor) *OnceInTx { return &OnceInTx{db: db} }

// CheckStart implements [event.StartChecker]: it refuses a store that forgets sooner than
// the channel can bring an event again.
func (o *OnceInTx) CheckStart(s event.Subscription, g event.Guarantees) error {
	if o.db == nil {
		return errNoStore
	}
	if err := checkWindow(o.db.Window(), g); err != nil {
		return err
	}
	if c, ok := o.db.(event.StartChecker); ok {
		return c.CheckStart(s, g)
	}
	return nil
}

// Stats returns what the middleware has done so far. Fenced is always 0.
func (o *OnceInTx) Stats() Stats { return o.stats.read() }

// Ready implements [event.ReadyChecker]: it returns nil unless the database didn't answer last time.
func (o *OnceInTx) Ready() error { return o.stats.ready() }

// Wrap implements [event.Middleware].
func (o *OnceInTx) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		tx, grants, err := o.begin(ctx, []event.Event{e})
		if err != nil {
			return err
		}
		if tx == nil {
			return o.stats.answer(ctx, e, grants[0])
		}
		defer tx.Rollback(context.WithoutCancel(ctx)) // should the handler panic
		o.stats.claimed.Add(1)
		sent := &kept{}
		err = next(event.WithOutbox(tx.Context(ctx), sent), e)
		return o.conclude(ctx, tx, e, sent.end(), err)
	}
}

// begin begins a transaction for events of different keys.
func (o *OnceInTx) begin(ctx context.Context, events []event.Event) (Transaction, []Grant, error) {
	keys, claims := make([]Key, len(events)), make([]Claim, len(events))
	for i, e := range events {
		in, _ := event.FromContext(of(ctx, i))
		keys[i], claims[i] = KeyOf(in.Group, e), Claim{Fingerprint: fingerprint(e), Retake: in.Redriven}
	}
	tx, grants, err := o.db.Begin(ctx, keys, claims)
	if err != nil {
		return nil, nil, o.stats.away(err)
	}
	o.stats.answered()
	return tx, grants, nil
}

// of returns the context of the i-th event: of a batch, or the only one.
func of(ctx context.Context, i int) context.Context {
	if event.InBatch(ctx) {
		return event.Element(ctx, i)
	}
	return ctx
}

// conclude ends the transaction of one event, and returns what its delivery is to become.
func (o *OnceInTx) conclude(ctx context.Context, tx Transaction, e event.Event, sent []Sent, err error) error {
	ended, cancel := ending(ctx)
	defer cancel()
	verdict := event.VerdictOf(err).Kind
	switch verdict {
	case event.Done:
		r := Record{Sent: sent}
		if result, ok := event.ResultOf(ctx); ok {
			r.Result = &result
		}
		return o.committed(ctx, e, tx, tx.Commit(ended, []Record{r}))
	case event.Rejected, event.Failed, event.FailedForGood, event.Postponed:
	}
	interrupted := ctx.Err() == nil && tx.Interrupted(err)
	tx.Rollback(ended)
	switch {
	case interrupted:
		return o.interrupted(err)
	case verdict == event.Rejected:
		return o.reject(ctx, e, err)
	}
	o.failed(ctx, e)
	return err
}

// commitWait is how long the end of a transaction may take: that its event isn't ours any
// more, or that the bus closes, doesn't undo what was done.
const commitWait = 30 * time.Second

func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), commitWait)
}

// committed tells what to make of the answer to a commit.
func (o *OnceInTx) committed(ctx context.Context, e event.Event, tx Transaction, err error) error {
	switch {
	case err == nil:
		o.stats.answered()
		o.stats.interruptions.Store(0)
		return nil
	case errors.Is(err, ErrAborted):
		o.failed(ctx, e)
		return err
	case tx.Interrupted(err):
		return o.interrupted(err)
	}
	return o.stats.away(err)
}

// interrupted postpones what was no failure of the handler, for a moment at first.
func (o *OnceInTx) interrupted(err error) error {
	o.stats.interrupted.Add(1)
	most := min(100*time.Millisecond<<min(o.stats.interruptions.Add(1)/16, 7), 10*time.Second) // longer when it goes on and on
	pause := 10*time.Millisecond + rand.N(most)
	return event.Postpone(pause, fmt.Errorf("idempotency: the transaction: %w", err))
}

// reject records a rejection in a transaction of its own. Who came in between has the say.
func (o *OnceInTx) reject(ctx context.Context, e event.Event, rejected error) error {
	ended, cancel := ending(ctx)
	defer cancel()
	tx, grants, err := o.begin(ended, []event.Event{e})
	if err != nil {
		return err
	}
	if tx == nil {
		return o.stats.answer(ctx, e, grants[0])
	}
	defer tx.Rollback(ended)
	if err := o.committed(ctx, e, tx, tx.Commit(ended, []Record{{Rejected: rejection(rejected)}})); err != nil {
		return err
	}
	return rejected
}

// failed lets the event's key be known as failed once it is a dead letter.
func (o *OnceInTx) failed(ctx context.Context, e event.Event) {
	in, _ := event.FromContext(ctx)
	_ = event.OnOutcome(ctx, nil, func(ctx context.Context, outcome event.Outcome) {
		if outcome.Kind != event.OutcomeDead {
			return
		}
		ctx, cancel := ending(ctx)
		defer cancel()
		if err := o.db.Fail(ctx, KeyOf(in.Group, e)); err != nil {
			o.stats.failed() // then what comes again by itself runs again
		}
	})
}

// kept collects what a handler publishes, for the database.
type kept struct {
	mu   sync.Mutex
	sent []Sent
	over bool
}

var errOver = errors.New("idempotency: publish under the context of a handler that has returned")

// Add implements [event.Outbox].
func (k *kept) Add(_ context.Context, topic string, events ...event.Event) error {
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return errOver
	}
	k.sent = append(k.sent, Sent{topic, append([]event.Event(nil), events...)})
	return nil
}

// end returns what was collected: the handler has returned, and nothing is added any more.
func (k *kept) end() []Sent {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.over = true
	return k.sent
}
