package bustest

import (
	"fmt"
	"slices"
	"strings"
)

// Failure is a schedule under which an application goes wrong.
type Failure struct {
	Why       string   // what was different at the end
	Published []string // from outside, in order
	Steps     []string // the story of the shortest schedule found
	Seed      uint64
	Schedule  int // the first that failed, from 0
}

// Error tells the story.
func (f *Failure) Error() string {
	var sb strings.Builder
	fmt.Fprintf(&sb, "%s\nschedule %d of seed %d, shrunk:", f.Why, f.Schedule, f.Seed)
	for _, p := range f.Published {
		sb.WriteString("\n  published " + p)
	}
	for i, step := range f.Steps {
		fmt.Fprintf(&sb, "\n  %d. %s", i+1, step)
	}
	return sb.String()
}

// shrink looks for the shortest schedule that still fails: it leaves out deviations
// and publishes as long as that works.
func (x *exploration) shrink(schedule int, plan []deviation) (*Failure, error) {
	skip := make([]bool, len(x.reference.sim.w.publishes))
	for again := true; again; {
		again = false
		for i := 0; i < len(plan) && len(plan) > 1; i++ {
			less := slices.Delete(slices.Clone(plan), i, i+1)
			if x.fails(less, skip) {
				plan, again = less, true
				i--
			}
		}
		for i := range skip {
			if skip[i] {
				continue
			}
			skip[i] = true
			if moved := x.move(plan, skip); moved != nil {
				plan, again = moved, true
				continue
			}
			skip[i] = false
		}
	}
	return x.failure(schedule, plan, skip)
}

// move returns a plan that fails without the publishes that are left out: the plan
// itself, or one with a deviation at another place, since its own may be gone.
func (x *exploration) move(plan []deviation, skip []bool) []deviation {
	if x.fails(plan, skip) {
		return plan
	}
	ref, err := x.undisturbed(skip)
	if err != nil {
		return nil
	}
	counts := make(map[action]int)
	for _, at := range ref.sim.defaults {
		counts[at]++
		for i := range plan {
			moved := slices.Clone(plan)
			moved[i].at, moved[i].nth = at, counts[at]
			if x.fails(moved, skip) {
				return moved
			}
		}
	}
	return nil
}

// fails reports whether a plan still goes wrong.
func (x *exploration) fails(plan []deviation, skip []bool) bool {
	ref, err := x.undisturbed(skip)
	if err != nil {
		return false
	}
	w, err := x.world(skip)
	if err != nil {
		return false
	}
	r, err := w.run(nil, nil, plan, nil)
	if err != nil {
		return false
	}
	return r.differs(ref) != ""
}

// failure runs the plan once more and tells what happens.
func (x *exploration) failure(schedule int, plan []deviation, skip []bool) (*Failure, error) {
	ref, err := x.undisturbed(skip)
	if err != nil {
		return nil, err
	}
	w, err := x.world(skip)
	if err != nil {
		return nil, err
	}
	story := new(tale)
	r, err := w.run(nil, nil, plan, story)
	if err != nil {
		return nil, err
	}
	why := r.differs(ref)
	if why == "" {
		return nil, fmt.Errorf("schedule %d of seed %d failed, and not again: the application depends on something else than what it is given", schedule, x.seed)
	}
	return &Failure{Why: why, Published: story.published, Steps: story.steps, Seed: x.seed, Schedule: schedule}, nil
}
