package operationstest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

// An Option is for [Run].
type Option func(*config)

type config struct {
	bubble bool
	keep   time.Duration
}

// Bubble runs each case in a bubble of testing/synctest: for stores without a server.
func Bubble() Option { return func(c *config) { c.bubble = true } }

// Keep is how long operations are kept in the cases that wait for their end; 2 s without
// it. A store may take 10 s longer to forget.
func Keep(d time.Duration) Option { return func(c *config) { c.keep = d } }

const (
	defaultKeep = 2 * time.Second
	patience    = 10 * time.Second // with what is to happen soon
)

type testCase struct {
	name    string
	promise string
	run     func(e *env)
}

// Run tests the store that open opens: one whose operations are kept for as long as it is
// told. A case opens it twice: with the same tb these are two handles on the same
// operations, as two processes have them. Other cases may see them too: each works with
// ids of its own.
func Run(t *testing.T, open func(tb testing.TB, keep time.Duration) command.Operations, opts ...Option) {
	t.Helper()
	conf := config{keep: defaultKeep}
	for _, o := range opts {
		o(&conf)
	}
	all := append(createCases(), changeCases()...)
	all = append(all, raceCases()...)
	all = append(all, expiryCases()...)
	all = append(all, watchCases()...)
	all = append(all, crowdCases()...)
	all = append(all, iterationCases()...)
	for _, c := range all {
		run := func(t *testing.T) {
			t.Helper()
			keep := 24 * time.Hour
			if strings.HasPrefix(c.name, "Expiry") {
				keep = conf.keep
			}
			e := &env{t: t, keep: keep, name: strings.ToLower(event.NewID())}
			e.ops, e.other = open(t, keep), open(t, keep)
			defer func() {
				if t.Failed() {
					t.Logf("the promise: %s", c.promise)
				}
			}()
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
	t          *testing.T
	ops, other command.Operations // two handles on the same operations
	keep       time.Duration
	name       string
}

func (e *env) ctx() context.Context { return e.t.Context() }

// id returns an id that no other case has.
func (e *env) id(name string) string { return e.name + name }

// either returns the two handles in turn.
func (e *env) either(i int) command.Operations {
	if i%2 == 0 {
		return e.ops
	}
	return e.other
}

// pass lets a time pass.
func (e *env) pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// create creates an operation.
func (e *env) create(o command.Operation) command.Operation {
	e.t.Helper()
	created, err := e.ops.Create(e.ctx(), o)
	if err != nil {
		e.t.Fatalf("Create(%q): %v", o.ID, err)
	}
	return created
}

// accepted creates an operation with nothing in it.
func (e *env) accepted(name string) command.Operation {
	e.t.Helper()
	return e.create(command.Operation{ID: e.id(name), Name: "test", State: command.Accepted})
}

// get returns an operation, as another handle sees it.
func (e *env) get(id string) command.Operation {
	e.t.Helper()
	o, err := e.other.Get(e.ctx(), id)
	if err != nil {
		e.t.Fatalf("Get(%q): %v", id, err)
	}
	return o
}

// swap swaps an operation.
func (e *env) swap(ops command.Operations, o command.Operation) command.Operation {
	e.t.Helper()
	next, err := ops.Swap(e.ctx(), o)
	if err != nil {
		e.t.Fatalf("Swap(%q, version %d): %v", o.ID, o.Version, err)
	}
	return next
}

// is fails unless an operation is what it was to be.
func (e *env) is(what string, got, want command.Operation) {
	e.t.Helper()
	if diff := difference(got, want); diff != "" {
		e.t.Fatalf("%s: %s", what, diff)
	}
}

// fails ends the case unless err is what it was to be.
func (e *env) fails(what string, err, want error) {
	e.t.Helper()
	if !errors.Is(err, want) {
		e.t.Fatalf("%s: %v; want %v", what, err, want)
	}
}

// A watch counts how often it was woken.
type watch struct {
	e     *env
	id    string
	count atomic.Int64
	news  chan struct{}
	stop  func()
}

// watch watches an operation until it is stopped, or the case ends.
func (e *env) watch(ops command.Operations, id string) *watch {
	e.t.Helper()
	w := &watch{e: e, id: id, news: make(chan struct{}, 1)}
	stop, err := ops.Watch(e.ctx(), id, w.wake)
	if err != nil {
		e.t.Fatalf("Watch(%q): %v", id, err)
	}
	w.stop = stop
	e.t.Cleanup(stop)
	return w
}

func (w *watch) wake() {
	w.count.Add(1)
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// woken waits until it was woken since the last time.
func (w *watch) woken(why string) {
	w.e.t.Helper()
	if !w.soon() {
		w.e.t.Fatalf("who watches %q isn't woken: %s", w.id, why)
	}
}

func (w *watch) soon() bool {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-w.news:
		return true
	case <-timer.C:
		return false
	}
}
