package bustest

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// result is how a run ended.
type result struct {
	trace    uint64
	length   int // choices
	defaults []action
	did      []deviation
	state    any
	dead     map[string]int // dead letters, by group and event; those of random ids counted by type
	err      error
}

// differs says what is wrong with a run, or "".
func (r *result) differs(ref *result) string {
	switch {
	case r.err != nil:
		return r.err.Error()
	case !maps.Equal(r.dead, ref.dead):
		return fmt.Sprintf("the dead letters differ from those of the undisturbed run:\n  %s\n  undisturbed: %s",
			letters(r.dead), letters(ref.dead))
	case !reflect.DeepEqual(r.state, ref.state):
		return fmt.Sprintf("the final state differs from that of the undisturbed run:\n  %+v\n  undisturbed: %+v", r.state, ref.state)
	}
	return ""
}

func letters(dead map[string]int) string {
	if len(dead) == 0 {
		return "none"
	}
	var all []string
	for _, d := range slices.Sorted(maps.Keys(dead)) {
		if n := dead[d]; n > 1 {
			d = fmt.Sprintf("%s, %d times", d, n)
		}
		all = append(all, d)
	}
	return strings.Join(all, "; ")
}

// finish looks at how a run has ended.
func (s *simulation) finish(err error) *result {
	r := &result{trace: s.trace, length: s.choices, defaults: s.defaults, did: s.did, err: err}
	if err != nil {
		return r
	}
	for _, holds := range s.w.invariants {
		if r.err = guarded("an invariant", func() error { return broken(holds()) }); r.err != nil {
			return r
		}
	}
	if s.w.state != nil {
		r.err = guarded("the World's State", func() error { r.state = s.w.state(); return nil })
	}
	r.dead = s.deadLetters()
	return r
}

func broken(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("an invariant is broken: %w", err)
}

// deadLetters returns the dead letters as far as handlers answer for them. That an event
// is published once more, with the same id, they can't help: it is dead once, and not
// at all when all that is dead is a copy behind a parked key, of what was handled.
func (s *simulation) deadLetters() map[string]int {
	if len(s.broker.dead) == 0 {
		return nil
	}
	dead := make(map[string]int)
	for _, l := range s.broker.dead {
		switch n := s.nameOf(l.en); {
		case l.en.behind && s.broker.handled(l.en):
		case n.id == "": // which of them is by chance
			dead[fmt.Sprintf("%s in group %q", n.typ, l.Group)]++
		default:
			dead[fmt.Sprintf("%v in group %q", n, l.Group)] = 1
		}
	}
	return dead
}
