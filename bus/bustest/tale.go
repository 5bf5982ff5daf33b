package bustest

import (
	"context"
	"fmt"

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
	ended     *bus.AttemptEnd // of the handler that runs now

	by    *task // whose line is the last
	begin string
	line  int
	known map[*task]bool
}

func newTale(s *symbols) *tale {
	return &tale{recorder: newRecorder(), symbols: s, known: make(map[*task]bool)}
}

// OnAttempt notes how a handler ended.
func (t *tale) OnAttempt(ctx context.Context, a bus.AttemptEnd) {
	t.recorder.OnAttempt(ctx, a)
	t.ended = &a
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
	t.steps = append(t.steps, fmt.Sprintf(format, args...))
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
	n := s.nameOf(t.en)
	begin := fmt.Sprintf("process %d: group %q handles %v", t.p.n, s.groups[t.group], n)
	switch {
	case t.dropped:
		begin = fmt.Sprintf("process %d: group %q drops %v, whose lease is lost", t.p.n, s.groups[t.group], n)
	case t.after:
		begin = fmt.Sprintf("process %d: group %q runs what follows the settlement of %v", t.p.n, s.groups[t.group], n)
	}
	s.story.ran(t, begin, s.until(t, ended))
}

// until says how far a handler came.
func (s *simulation) until(t *task, ended bool) string {
	at := s.symbols.names[t.at]
	switch {
	case !ended && at.typ == "step":
		return fmt.Sprintf(" up to step %q", at.id)
	case !ended:
		return fmt.Sprintf(" up to %s %s", at.typ, at.id)
	}
	a := s.story.ended
	s.story.ended = nil
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

func (t *tale) ran(by *task, begin, end string) {
	if n := len(t.steps); t.by == by && t.line == n {
		t.steps[n-1] = t.begin + end
		return
	}
	if t.known[by] {
		begin += " (goes on)"
	}
	t.known[by] = true
	t.addf("%s%s", begin, end)
	t.by, t.begin, t.line = by, begin, len(t.steps)
}
