package modeltest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// Harness is how a test handles a model: an empty one, of which nothing is open yet, with numbers in
// it that are known by keys.
type Harness struct {
	Model query.Model // the one to be tested
	Other query.Model // another handle on it, as another process has one; it may be the same

	// Add adds n to the number of a key, in the transaction that ctx has.
	Add func(ctx context.Context, key string, n int) error
	// Get returns the number of a key, 0 if there is none: what the transaction sees that ctx has, or
	// without one what is committed in the generation that serves.
	Get func(ctx context.Context, key string) (int, error)
}

// An Option is for [Run].
type Option func(*config)

type config struct{ bubble bool }

// Bubble runs each case in a bubble of testing/synctest: for models without a server.
func Bubble() Option { return func(c *config) { c.bubble = true } }

type testCase struct {
	name    string
	promise string
	run     func(e *env)
}

// Run tests the models that open opens: a new and empty one for each case.
func Run(t *testing.T, open func(tb testing.TB) Harness, opts ...Option) {
	t.Helper()
	var conf config
	for _, o := range opts {
		o(&conf)
	}
	all := append(stepCases(), placeCases()...)
	all = append(all, passCases()...)
	all = append(all, seenCases()...)
	all = append(all, crowdCases()...)
	all = append(all, buildCases()...)
	all = append(all, switchCases()...)
	for _, c := range all {
		run := func(t *testing.T) {
			t.Helper()
			e := &env{Harness: open(t), t: t}
			defer func() {
				if t.Failed() {
					t.Logf("the promise: %s", c.promise)
				}
			}()
			for _, m := range []query.Model{e.Model, e.Other, e.Model} {
				if err := m.Open(t.Context(), "modeltest"); err != nil {
					t.Fatalf("Open: %v", err)
				}
			}
			c.run(e)
		}
		t.Run(c.name, func(t *testing.T) {
			if conf.bubble {
				synctest.Test(t, run)
				return
			}
			run(t)
		})
	}
}

// env is one run of a case.
type env struct {
	Harness

	t *testing.T
}

func (e *env) ctx() context.Context { return e.t.Context() }

// topic is where most events of a case stand.
const topic = "orders"

// at returns the step of an event in lane 0.
func at(offset int64) query.Step { return in(0, offset) }

// in returns the step of an event.
func in(lane int32, offset int64) query.Step {
	p := event.Position{Lane: lane, Offset: offset}
	return query.Step{Topic: topic, At: p, Source: "/modeltest", ID: "e-" + p.String()}
}

// of returns a step for a generation.
func of(generation int, s query.Step) query.Step {
	s.Generation = generation
	return s
}

// either returns the two handles in turn.
func (e *env) either(i int) query.Model {
	if i%2 == 0 {
		return e.Model
	}
	return e.Other
}

// begin begins a step that must be possible.
func (e *env) begin(m query.Model, s query.Step) query.Update {
	e.t.Helper()
	u, err := m.Begin(e.ctx(), s)
	if err != nil {
		e.t.Fatalf("Begin(%v): %v", s, err)
	}
	return u
}

// apply applies a step that adds 1 to a key.
func (e *env) apply(s query.Step, key string) {
	e.t.Helper()
	u := e.begin(e.Model, s)
	e.add(u, key)
	if err := u.Commit(e.ctx()); err != nil {
		e.t.Fatalf("Commit(%v): %v", s, err)
	}
	u.Rollback(e.ctx()) // does nothing
}

// add adds 1 to a key.
func (e *env) add(u query.Update, key string) {
	e.t.Helper()
	if err := e.Add(u.Context(e.ctx()), key, 1); err != nil {
		e.t.Fatalf("Add(%q): %v", key, err)
	}
}

// persist applies a step however often it takes, from any goroutine, and reports whether it was
// this call that did it.
func (e *env) persist(m query.Model, s query.Step, key string) bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause() {
		u, err := m.Begin(e.ctx(), s)
		if errors.Is(err, query.ErrApplied) {
			return false
		}
		if err != nil {
			continue
		}
		err = e.Add(u.Context(e.ctx()), key, 1)
		if err == nil {
			err = u.Commit(e.ctx())
		}
		u.Rollback(e.ctx())
		switch {
		case err == nil:
			return true
		case errors.Is(err, query.ErrApplied):
			return false
		case errors.Is(err, query.ErrAborted):
			e.t.Errorf("step %v: %v", s, err)
			return false
		}
	}
	e.t.Errorf("step %v can't be applied within %v", s, patience)
	return false
}

const patience = 20 * time.Second

func pause() {
	timer := time.NewTimer(time.Millisecond)
	defer timer.Stop()
	<-timer.C
}

// pass passes a step.
func (e *env) pass(s query.Step, dead bool) {
	e.t.Helper()
	if err := e.Model.Pass(e.ctx(), s, dead); err != nil {
		e.t.Fatalf("Pass(%v, %t): %v", s, dead, err)
	}
}

// in fails unless the model has the event of a step.
func (e *env) isIn(s query.Step) {
	e.t.Helper()
	u, err := e.Other.Begin(e.ctx(), s)
	if err == nil {
		u.Rollback(e.ctx())
	}
	if !errors.Is(err, query.ErrApplied) {
		e.t.Fatalf("Begin(%v): %v; want ErrApplied", s, err)
	}
}

// isOut fails if the model has the event of a step.
func (e *env) isOut(s query.Step) {
	e.t.Helper()
	e.begin(e.Other, s).Rollback(e.ctx())
}

// number fails unless a key has a number.
func (e *env) number(key string, want int) {
	e.t.Helper()
	e.numberIn(e.ctx(), key, want)
}

func (e *env) numberIn(ctx context.Context, key string, want int) {
	e.t.Helper()
	n, err := e.Get(ctx, key)
	if err != nil {
		e.t.Fatalf("Get(%q): %v", key, err)
	}
	if n != want {
		e.t.Fatalf("%q is %d; want %d", key, n, want)
	}
}

// reached fails unless the model is done with a lane up to an offset.
func (e *env) reached(of string, lane int32, want int64) {
	e.t.Helper()
	at, err := e.Other.Reached(e.ctx(), of)
	if err != nil {
		e.t.Fatalf("Reached(%q): %v", of, err)
	}
	var got int64
	n := 0
	for _, p := range at {
		if p.Lane == lane {
			got = p.Offset
			n++
		}
	}
	if n > 1 || got != want {
		e.t.Fatalf("Reached(%q) is %v; want %d in lane %d", of, at, want, lane)
	}
}

// seen fails unless the model says of ids what is wanted.
func (e *env) seen(want bool, ids ...string) {
	e.t.Helper()
	got, err := e.Other.Seen(e.ctx(), ids...)
	if err != nil || len(got) != len(ids) {
		e.t.Fatalf("Seen(%q): %v, %v", ids, got, err)
	}
	for i, id := range ids {
		if got[i] != want {
			e.t.Fatalf("Seen(%q) is %t", id, got[i])
		}
	}
}

// build begins to build a generation.
func (e *env) build() (int, func()) {
	e.t.Helper()
	n, release, err := e.Model.Build(e.ctx())
	if err != nil || n == 0 {
		e.t.Fatalf("Build: %d, %v", n, err)
	}
	return n, release
}

// switched fails unless Switch says what is wanted.
func (e *env) switched(generation int, want bool) {
	e.t.Helper()
	done, err := e.Model.Switch(e.ctx(), generation)
	if err != nil || done != want {
		e.t.Fatalf("Switch(%d): %t, %v; want %t", generation, done, err, want)
	}
}
