package query

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// turn is one attempt to apply an event.
type turn struct {
	f       *feed
	step    Step
	applied bool // and committed
}

type turnKey struct{}

// failure is an event that failed for good.
type failure struct {
	step Step
	err  error
}

// stepOf returns the step of an event that is handled.
func (f *feed) stepOf(in event.Info) Step {
	return Step{
		Generation: f.generation,
		Topic:      in.Topic,
		At:         in.Position,
		Gap:        in.Gap,
		Redriven:   in.Redriven,
		Source:     in.Event.Source(),
		ID:         in.Event.ID(),
		Cause:      in.Event.Extension(event.ExtCausationID),
	}
}

// account is the outermost middleware: it sees to it that the model is done with each
// delivery that the group is done with, whoever ended it.
type account struct{ f *feed }

var (
	_ event.StartChecker = account{}
	_ bus.Unrun          = account{}
)

// CheckStart implements [event.StartChecker].
func (a account) CheckStart(s event.Subscription, g event.Guarantees) error {
	return a.f.checkStart(s, g)
}

// Wrap implements [event.Middleware].
func (a account) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		in, _ := event.FromContext(ctx)
		t := &turn{f: a.f, step: a.f.stepOf(in)}
		if err := event.OnOutcome(ctx, t.ends, nil); err != nil {
			return err
		}
		if a.f.generation > 0 {
			ctx = event.WithOutbox(context.WithValue(ctx, rebuildingKey{}, true), unheard{})
		}
		err := next(context.WithValue(ctx, turnKey{}, t), e)
		if err != nil || t.applied {
			return err
		}
		return a.f.pass(ctx, t.step, false)
	}
}

// ends passes an event that isn't applied, ahead of its settlement.
func (t *turn) ends(ctx context.Context, o event.Outcome) error {
	switch {
	case o.Kind == event.OutcomeRejected:
		return t.f.pass(ctx, t.step, false)
	case o.Kind != event.OutcomeDead:
		return nil
	case t.f.died != nil:
		t.f.died(failure{t.step, o.Err})
		return nil
	}
	return t.f.pass(ctx, t.step, true)
}

// Unrun implements [bus.Unrun]: what nobody can handle is dead in a rebuild as it was
// before.
func (a account) Unrun(ctx context.Context, d event.Delivery) error {
	step := a.f.stepOf(event.Info{Event: d.Event, Topic: d.Topic, Position: d.Position, Gap: d.Gap, Redriven: d.Redriven})
	return a.f.pass(ctx, step, true)
}

// apply is the innermost middleware: it runs handlers in transactions.
type apply struct{ f *feed }

var _ event.ReadyChecker = apply{}

// Ready implements [event.ReadyChecker].
func (a apply) Ready() error {
	if err := a.f.trouble.Load(); err != nil {
		return *err
	}
	return nil
}

// Wrap implements [event.Middleware].
func (a apply) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		t, _ := ctx.Value(turnKey{}).(*turn)
		if t == nil {
			return errors.New("query: a middleware has taken the context of its handler away")
		}
		u, err := a.f.p.model.Begin(ctx, t.step)
		if errors.Is(err, ErrApplied) {
			a.f.answered()
			return nil
		}
		if err != nil {
			return a.f.away(err)
		}
		a.f.answered()
		defer u.Rollback(context.WithoutCancel(ctx)) // should the handler panic
		err = next(u.Context(ctx), e)
		return t.conclude(ctx, u, err)
	}
}

// commitWait is how long the end of a transaction may take: that its event isn't ours any more, or
// that the bus closes, doesn't undo what was done.
const commitWait = 30 * time.Second

func ending(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), commitWait)
}

// conclude ends the transaction of a turn.
func (t *turn) conclude(ctx context.Context, u Update, err error) error {
	ended, cancel := ending(ctx)
	defer cancel()
	if err != nil {
		interrupted := ctx.Err() == nil && u.Interrupted(err)
		u.Rollback(ended)
		if interrupted {
			return gaveWay(err)
		}
		return err
	}
	err = u.Commit(ended)
	switch {
	case err == nil:
		t.applied = true
		t.f.answered()
		t.f.p.looks.wake()
		return nil
	case errors.Is(err, ErrApplied):
		return nil
	case errors.Is(err, ErrAborted):
		return err
	case u.Interrupted(err):
		return gaveWay(err)
	}
	return t.f.away(err)
}

// gaveWay postpones what has to run again soon.
func gaveWay(err error) error {
	pause := time.Millisecond + rand.N(20*time.Millisecond)
	return event.Postpone(pause, fmt.Errorf("query: the transaction: %w", err))
}

// pass notes that the model is done with an event that isn't applied.
func (f *feed) pass(ctx context.Context, s Step, dead bool) error {
	ctx, cancel := ending(ctx)
	defer cancel()
	if err := f.p.model.Pass(ctx, s, dead); err != nil {
		return f.away(err)
	}
	f.answered()
	f.p.looks.wake()
	return nil
}

// answered notes that the model has answered.
func (f *feed) answered() {
	if f.tries.Load() == 0 {
		return
	}
	f.tries.Store(0)
	f.trouble.Store(nil)
}

// away postpones an event until the model answers again: longer and longer.
func (f *feed) away(err error) error {
	err = fmt.Errorf("query: the model of projection %q: %w", f.p.name, err)
	f.trouble.Store(&err)
	most := 50 * time.Millisecond << min(f.tries.Add(1), 8)
	return event.Postpone(most/2+rand.N(most/2), err)
}
