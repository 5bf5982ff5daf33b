package bustest

import (
	"context"
	"errors"
	"iter"

	"github.com/leat-go/leat/bus"
)

// process is one run of the application: a Bus that is gone when the process dies.
type process struct {
	n        int // from 1
	endpoint *endpoint
	bus      *bus.Bus
	st       *bus.Stepper
	tasks    []*task // handlers that run, oldest first
}

// task is a handler that runs, as a coroutine.
type task struct {
	p     *process
	group int
	entry entryName
	at    string // the step where it waits
	next  func() (string, bool)
	stop  func()
	yield func(string) bool
}

// errKilled unwinds a handler whose process has died.
var errKilled = errors.New("bustest: the process has died")

// pause lets others run, or the process die, before the handler goes on.
func (t *task) pause(step string) {
	if !t.yield(step) {
		panic(errKilled)
	}
}

// Step marks a place in a handler, or in a fake store that a handler uses, where its
// process can die, its lease be lost, or another handler run, when [Explore] tries
// that. Put one between two effects. ctx is the handler's; outside of Explore a Step
// does nothing.
func Step(ctx context.Context, name string) {
	if t, ok := ctx.Value(taskKey{}).(*task); ok && t != nil {
		t.pause(name)
	}
}

// unwound ends the unwinding of a killed task.
func unwound() {
	if v := recover(); v != nil && v != errKilled { //nolint:errorlint // the very value
		panic(v)
	}
}

// run begins a task: the pick-th ready delivery of a group.
func (p *process) run(group, pick int, entry entryName) *task {
	t := &task{p: p, group: group, entry: entry}
	t.next, t.stop = iter.Pull(func(yield func(string) bool) {
		t.yield = yield
		defer unwound()
		p.st.Run(group, pick)
	})
	p.tasks = append(p.tasks, t)
	return t
}

// resume lets a task go on until its next step or its end, and reports whether it
// has ended.
func (t *task) resume() (ended bool) {
	at, more := t.next()
	t.at = at
	if more {
		return false
	}
	for i, other := range t.p.tasks {
		if other == t {
			t.p.tasks = append(t.p.tasks[:i], t.p.tasks[i+1:]...)
			break
		}
	}
	return true
}

// kill ends the process at once.
func (p *process) kill() {
	p.endpoint.gone = true
	for _, t := range p.tasks {
		t.stop()
	}
	p.tasks = nil
	p.endpoint.b.abandon(p.endpoint)
}
