package bustest

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/bus"
)

// tale writes down what happens in a run.
type tale struct {
	published []string
	steps     []string
	ended     *bus.AttemptEnd // of the handler that runs now

	by    *task // whose line is the last
	begin string
	line  int
	known map[*task]bool
}

// OnAttempt notes how a handler ended.
func (t *tale) OnAttempt(_ context.Context, a bus.AttemptEnd) { t.ended = &a }

func (t *tale) add(format string, args ...any) {
	t.steps = append(t.steps, fmt.Sprintf(format, args...))
}

const prime = 1099511628211 // of FNV-1a

// note adds an action to the trace, and to the story if somebody listens.
func (s *simulation) note(a action) {
	h := s.trace*prime ^ uint64(a.kind)<<32 ^ uint64(a.proc)<<16 ^ uint64(a.group)<<8 ^ uint64(a.entry.n)
	for _, text := range [...]string{a.entry.typ, a.entry.id, a.step} {
		for i := range len(text) {
			h = (h ^ uint64(text[i])) * prime
		}
	}
	s.trace = h
	if s.story != nil && a.kind.fault() {
		s.story.add("%s", s.tell(a))
	}
}

// tellRun adds what a handler did until now: one line for as long as nothing comes
// between.
func (s *simulation) tellRun(t *task, ended bool) {
	if s.story == nil {
		return
	}
	end := fmt.Sprintf(" up to step %q", t.at)
	if ended {
		end = s.story.outcome()
	}
	s.story.ran(t, fmt.Sprintf("process %d: group %q handles %v", t.p.n, s.groups[t.group], t.entry), end)
}

// outcome says how the handler that has just ended did so.
func (t *tale) outcome() string {
	a := t.ended
	t.ended = nil
	switch {
	case a == nil:
		return ", and is done"
	case a.Err != nil:
		return fmt.Sprintf(", attempt %d: %v: %v", a.Info.Attempt, a.Outcome, a.Err)
	default:
		return fmt.Sprintf(", attempt %d: %v", a.Info.Attempt, a.Outcome)
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
	if t.known == nil {
		t.known = make(map[*task]bool)
	}
	t.known[by] = true
	t.add("%s%s", begin, end)
	t.by, t.begin, t.line = by, begin, len(t.steps)
}
