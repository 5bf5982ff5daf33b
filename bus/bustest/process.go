package bustest

import (
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// process is one run of the application: a Bus that is gone when the process dies.
type process struct {
	n        int16 // from 1
	sim      *simulation
	endpoint *endpoint
	bus      *bus.Bus
	st       *bus.Stepper
	tasks    []*task // handlers that run, oldest first
}

// task is a handler that runs, as a coroutine.
type task struct {
	p       *process
	co      *coroutine
	group   int16
	en      *entry
	batch   []*entry // of a batch: those that were not lost before it began
	at      symbol   // where it waits
	after   bool     // runs what follows the settlement
	dropped bool     // the lease was lost before it began
	lost    bool     // its lease, since
	stalled bool     // it goes on when nothing else is left to do
}

// pause lets others run, or the process die, before the task goes on.
func (t *task) pause(at name) {
	s := t.p.sim
	if s.careful && goroutine() != t.co.goroutine {
		s.misuse = fmt.Errorf("%v in a handler for %v comes from another goroutine than the handler's", at, s.nameOf(t.en))
		return
	}
	t.at = s.symbols.symbol(at)
	t.co.suspend()
}

// Step marks a place in a handler, or in a fake store that a handler uses, where its
// process can die, its lease be lost, or another handler run, when [Explore] tries
// that. Put one between two effects. ctx is the handler's, and Step is called by the
// handler's goroutine. A Step at which the process dies does not return: deferred
// functions run, as they would when a connection breaks, and recover returns nil. No
// lock may be held that a deferred function doesn't release.
//
// Outside of Explore a Step does nothing.
func Step(ctx context.Context, at string) {
	if t, ok := ctx.Value(taskKey{}).(*task); ok && t != nil {
		t.pause(name{typ: "step", id: at})
	}
}

// run begins a task: the pick-th ready delivery of a group.
func (p *process) run(group, pick int) *task {
	token := p.st.Ready(group, pick)
	t := &task{p: p, co: p.sim.pool.take(), group: int16(group), en: p.sim.broker.entryOf(token)}
	t.after = p.settled(token)
	t.dropped = !t.after && t.en.token != token[1]
	if tokens := p.st.Batch(group, pick); tokens != nil {
		t.gather(tokens)
	}
	t.co.st, t.co.group, t.co.pick, t.co.careful = p.st, group, pick, p.sim.careful
	p.tasks = append(p.tasks, t)
	return t
}

// settled reports whether the process settled a delivery for good: its token is stale
// for that, and not because the lease was lost.
func (p *process) settled(t event.Token) bool {
	return slices.Contains(p.endpoint.settled, t[1])
}

// left returns an entry whose settlement something is still to follow, or nil.
func (p *process) left() *entry {
	for _, t := range p.tasks {
		if t.after {
			return t.en
		}
	}
	for g := range p.st.Groups() {
		for i := range p.st.Runnable(g) {
			if token := p.st.Ready(g, i); p.settled(token) && p.st.Batch(g, i) == nil {
				return p.sim.broker.entryOf(token)
			}
		}
	}
	return nil
}

// resume lets a task go on until its next step or its end, and reports whether it
// has ended.
func (t *task) resume() (ended bool) {
	if suspended, _ := t.co.next(); suspended {
		return false
	}
	t.p.sim.pool.put(t.co)
	i := slices.Index(t.p.tasks, t)
	t.p.tasks = slices.Delete(t.p.tasks, i, i+1)
	return true
}

// kill ends the process at once.
func (p *process) kill() {
	p.endpoint.gone = true
	p.sim.tellDeath(p)
	for _, t := range p.tasks {
		p.sim.on.Store(t) // for Steps of deferred functions
		t.co.kill()
	}
	p.sim.on.Store(nil)
	p.tasks = nil
	p.endpoint.b.abandon(p.endpoint)
}
