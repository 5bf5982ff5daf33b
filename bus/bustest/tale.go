package bustest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// tale writes down what happens in a run.
type tale struct {
	*recorder

	symbols   *symbols
	broker    *broker
	published []string
	steps     []string
	on        func() *task               // that runs now
	running   map[*task][]*begun         // of handlers that have not ended
	ended     map[*task][]bus.AttemptEnd // of these, told when all of a batch have ended

	by     *task // whose line is the last
	opened string
	line   int
	known  map[*task]bool
}

func newTale(s *symbols) *tale {
	return &tale{
		recorder: newRecorder(), symbols: s, known: make(map[*task]bool), running: make(map[*task][]*begun),
		ended: make(map[*task][]bus.AttemptEnd),
	}
}

// Wrap implements [event.Middleware]: it notes that a handler begins, since many never
// end.
func (t *tale) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		t.begin(ctx, e)
		return next(ctx, e)
	}
}

// begun is an attempt that has not ended.
type begun struct {
	attempt

	event string // its identity
}

func (t *tale) begin(ctx context.Context, e event.Event) {
	task := t.on()
	info, _ := event.FromContext(ctx)
	a := &begun{attempt: attempt{
		handler: task.p.sim.groups[task.group] + "/" + e.Type(), number: info.Attempt, started: time.Now(),
		how: "never ends",
	}, event: identity(e)}
	t.tried(e, &a.attempt)
	t.running[task] = append(t.running[task], a)
}

// OnAttempt notes how a handler ended.
func (t *tale) OnAttempt(ctx context.Context, e bus.AttemptEnd) {
	task, id := t.on(), identity(e.Info.Event)
	t.ended[task] = append(t.ended[task], e)
	i := slices.IndexFunc(t.running[task], func(a *begun) bool { return a.event == id })
	if i < 0 { // a middleware of the application answered
		t.recorder.OnAttempt(ctx, e)
		return
	}
	t.running[task][i].end(e)
	t.running[task] = slices.Delete(t.running[task], i, i+1)
}

// cutf notes how attempts without an outcome ended.
func (t *tale) cutf(task *task, format string, args ...any) {
	for _, a := range t.running[task] {
		a.how = fmt.Sprintf(format, args...)
	}
	delete(t.running, task)
}

// tree tells what caused what.
func (t *tale) tree() string {
	return t.story(func(e event.Event) string {
		n := t.symbols.names[t.broker.nameOf(e)]
		if n.id == "" {
			return fmt.Sprintf("#%d", n.n)
		}
		return n.id
	})
}

func (t *tale) addf(format string, args ...any) {
	t.steps = append(t.steps, fmt.Sprint(t.since(time.Now()), " ", fmt.Sprintf(format, args...)))
}

// note adds an action to the trace, and to the story if somebody listens.
func (s *simulation) note(a action) {
	h := mix(s.trace, uint64(a.kind)<<40|uint64(a.twin)<<32|uint64(uint16(a.proc))<<16|uint64(uint16(a.group)))
	s.trace = mix(mix(h, s.symbols.hashes[a.entry]), s.symbols.hashes[a.step])
	if s.story == nil {
		return
	}
	if early := a.kind == actWait && s.defaults[len(s.defaults)-1].kind != actWait; early || a.kind.fault() {
		s.story.addf("%s", s.tell(a))
	}
}

// tellRun adds what a handler did until now: one line for as long as nothing comes
// between.
func (s *simulation) tellRun(t *task, ended bool) {
	if s.story == nil {
		return
	}
	if t.dropped && (t.batch != nil || t.en.behind && !t.en.acked) { // that its lease was lost, or it went behind, is told
		return
	}
	n := s.whatOf(t)
	begin := fmt.Sprintf("process %d: group %q handles %s", t.p.n, s.groups[t.group], n)
	switch {
	case t.dropped && t.en.behind:
		begin = fmt.Sprintf("process %d: group %q drops %s, whose key is parked", t.p.n, s.groups[t.group], n)
	case t.dropped:
		begin = fmt.Sprintf("process %d: group %q drops %s, whose lease is lost", t.p.n, s.groups[t.group], n)
	case t.after:
		begin = fmt.Sprintf("process %d: group %q runs what follows the settlement of %s", t.p.n, s.groups[t.group], n)
	}
	s.story.ran(t, begin, s.until(t, ended))
}

// until says how far a handler came.
func (s *simulation) until(t *task, ended bool) string {
	if some := s.story.running[t]; !ended && len(some) > 0 {
		return fmt.Sprintf(", %s, up to %s", attempts(some), s.place(t))
	}
	if !ended {
		return " up to " + s.place(t)
	}
	ends := s.story.ended[t]
	delete(s.story.ended, t)
	s.story.cutf(t, "in vain: the lease was lost")
	switch {
	case len(ends) > 0:
		return s.endOf(t, ends)
	case t.lost:
		return " to its end, for nothing: the lease is lost"
	}
	return ""
}

// tellMoved adds that an event went behind a dead letter of its key.
func (s *simulation) tellMoved(en, front *entry) {
	if s.story == nil {
		return
	}
	group := s.groups[slices.Index(s.broker.groups, en.g)]
	s.story.addf("%v goes behind %v in group %q: the key is parked", s.nameOf(en), s.nameOf(front), group)
}

// place says where a handler stands.
func (s *simulation) place(t *task) string {
	at := s.symbols.names[t.at]
	if at.typ == "step" {
		return fmt.Sprintf("step %q", at.id)
	}
	return at.typ + " " + at.id
}

// tellDeath adds how the handlers of a process ended.
func (s *simulation) tellDeath(p *process) {
	if s.story == nil {
		return
	}
	for _, t := range p.tasks {
		s.story.cutf(t, "process %d dies at %s", p.n, s.place(t))
	}
}

func (t *tale) ran(by *task, begin, end string) {
	if n := len(t.steps); t.by == by && t.line == n {
		t.steps[n-1] = t.opened + end
		return
	}
	if t.known[by] {
		begin += " (goes on)"
	}
	t.known[by] = true
	t.addf("%s", begin)
	t.by, t.line = by, len(t.steps)
	t.opened = t.steps[t.line-1]
	t.steps[t.line-1] += end
}
