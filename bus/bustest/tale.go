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
	on        func() *task       // that runs now
	running   map[*task]*attempt // of handlers that have not ended
	ended     *bus.AttemptEnd    // of the handler that runs now

	by    *task // whose line is the last
	begin string
	line  int
	known map[*task]bool
}

func newTale(s *symbols) *tale {
	return &tale{
		recorder: newRecorder(), symbols: s, known: make(map[*task]bool), running: make(map[*task]*attempt),
	}
}

// Wrap implements [event.Middleware]: it notes that a handler begins, since many never
// end.
func (t *tale) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		task := t.on()
		info, _ := event.FromContext(ctx)
		a := &attempt{
			handler: task.p.sim.groups[task.group] + "/" + e.Type(), number: info.Attempt, started: time.Now(),
			how: "never ends",
		}
		t.tried(e, a)
		t.running[task] = a
		return next(ctx, e)
	}
}

// OnAttempt notes how a handler ended.
func (t *tale) OnAttempt(ctx context.Context, e bus.AttemptEnd) {
	t.ended = &e
	a := t.running[t.on()]
	if a == nil { // a middleware of the application answered
		t.recorder.OnAttempt(ctx, e)
		return
	}
	a.end(e)
	delete(t.running, t.on())
}

// cutf notes how an attempt without an outcome ended.
func (t *tale) cutf(task *task, format string, args ...any) {
	if a := t.running[task]; a != nil {
		a.how = fmt.Sprintf(format, args...)
		delete(t.running, task)
	}
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
	if t.dropped && t.en.behind && !t.en.acked { // that it went behind is told
		return
	}
	n := s.nameOf(t.en)
	begin := fmt.Sprintf("process %d: group %q handles %v", t.p.n, s.groups[t.group], n)
	switch {
	case t.dropped && t.en.behind:
		begin = fmt.Sprintf("process %d: group %q drops %v, whose key is parked", t.p.n, s.groups[t.group], n)
	case t.dropped:
		begin = fmt.Sprintf("process %d: group %q drops %v, whose lease is lost", t.p.n, s.groups[t.group], n)
	case t.after:
		begin = fmt.Sprintf("process %d: group %q runs what follows the settlement of %v", t.p.n, s.groups[t.group], n)
	}
	s.story.ran(t, begin, s.until(t, ended))
}

// until says how far a handler came.
func (s *simulation) until(t *task, ended bool) string {
	if a := s.story.running[t]; !ended && a != nil {
		return fmt.Sprintf(", attempt %d, up to %s", a.number, s.place(t))
	}
	if !ended {
		return " up to " + s.place(t)
	}
	a := s.story.ended
	s.story.ended = nil
	s.story.cutf(t, "in vain: the lease was lost")
	switch {
	case a != nil && a.Err != nil:
		return fmt.Sprintf(", attempt %d: %v: %v", a.Info.Attempt, a.Outcome, a.Err)
	case a != nil:
		return fmt.Sprintf(", attempt %d: returns nil", a.Info.Attempt)
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
		t.steps[n-1] = t.begin + end
		return
	}
	if t.known[by] {
		begin += " (goes on)"
	}
	t.known[by] = true
	t.addf("%s", begin)
	t.by, t.line = by, len(t.steps)
	t.begin = t.steps[t.line-1]
	t.steps[t.line-1] += end
}
