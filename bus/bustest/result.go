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
	dead     map[string]int // dead letters, by group and event
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
		if err := holds(); err != nil {
			r.err = fmt.Errorf("an invariant is broken: %w", err)
			return r
		}
	}
	if s.w.state != nil {
		r.state = s.w.state()
	}
	for _, d := range s.broker.dead {
		if r.dead == nil {
			r.dead = make(map[string]int)
		}
		n := s.symbols.names[s.broker.nameOf(d.Event)]
		if n.id == "" { // which of them is by chance
			r.dead[fmt.Sprintf("%s in group %q", n.typ, d.Group)]++
			continue
		}
		r.dead[fmt.Sprintf("%v in group %q", n, d.Group)]++
	}
	return r
}
