package bustest

import (
	"fmt"
	"slices"
)

// plan is a schedule that can be made shorter.
type plan struct {
	eager      bool
	deviations []deviation
	skip       []bool // publishes that are left out
}

func (p *plan) schedule() schedule { return schedule{eager: p.eager, plan: p.deviations} }

// maxShrinks bounds how many runs are spent on shortening.
const maxShrinks = 5000

type shrinker struct {
	x    *exploration
	plan plan
	ref  *result // without the publishes that are left out
	runs int
}

// shrink looks for the shortest schedule that still fails: it leaves out deviations
// and publishes as long as that works.
func (x *exploration) shrink(schedule int, p plan) (*Failure, error) {
	p.skip = make([]bool, x.publishes())
	s := &shrinker{x: x, plan: p, ref: x.reference}
	for again := true; again; {
		again = s.patient()
		again = s.fewerDeviations() || again
		again = s.fewerPublishes() || again
		again = s.plainCrashes() || again
	}
	return s.failure(schedule)
}

func (x *exploration) publishes() int {
	var w World
	x.setup(&w)
	return len(w.publishes)
}

// patient publishes each message when nothing else is left to do.
func (s *shrinker) patient() bool {
	if !s.plan.eager {
		return false
	}
	less := s.plan
	less.eager = false
	return s.take(less, s.ref)
}

func (s *shrinker) fewerDeviations() (shorter bool) {
	for i := 0; i < len(s.plan.deviations) && len(s.plan.deviations) > 1; i++ {
		less := s.plan
		less.deviations = slices.Delete(slices.Clone(less.deviations), i, i+1)
		if s.take(less, s.ref) {
			shorter = true
			i--
		}
	}
	return shorter
}

func (s *shrinker) fewerPublishes() (shorter bool) {
	for i := range s.plan.skip {
		if s.plan.skip[i] {
			continue
		}
		less := s.plan
		less.skip = slices.Clone(less.skip)
		less.skip[i] = true
		ref, err := s.x.undisturbed(less.skip)
		if err == nil && (s.take(less, ref) || s.move(less, ref)) {
			shorter = true
		}
	}
	return shorter
}

// plainCrashes lets processes die instead of losing leases: that is easier to read.
func (s *shrinker) plainCrashes() (shorter bool) {
	for i, d := range s.plan.deviations {
		if d.do.kind != actLose {
			continue
		}
		less := s.plan
		less.deviations = slices.Clone(less.deviations)
		less.deviations[i].do = action{kind: actCrash, proc: d.do.proc}
		shorter = s.take(less, s.ref) || shorter
	}
	return shorter
}

// move takes a plan with one of its deviations at another place, if that fails: its own
// may have gone with a publish.
func (s *shrinker) move(p plan, ref *result) bool {
	counts := make(map[action]int)
	for _, at := range ref.defaults {
		counts[at]++
		for i := range p.deviations {
			moved := p
			moved.deviations = slices.Clone(p.deviations)
			moved.deviations[i].at, moved.deviations[i].nth = at, counts[at]
			if s.take(moved, ref) {
				return true
			}
		}
	}
	return false
}

// take goes on with a plan if it fails.
func (s *shrinker) take(p plan, ref *result) bool {
	s.runs++
	if s.runs > maxShrinks {
		return false
	}
	r, err := s.x.run(p.skip, p.schedule(), nil, false)
	if err != nil || r.differs(ref) == "" {
		return false
	}
	s.plan, s.ref = p, ref
	return true
}

// failure runs the plan once more and tells what happens.
func (s *shrinker) failure(schedule int) (*Failure, error) {
	story := newTale(s.x.symbols)
	r, err := s.x.run(s.plan.skip, s.plan.schedule(), story, true)
	if err != nil {
		return nil, err
	}
	why := r.differs(s.ref)
	if why == "" {
		return nil, fmt.Errorf("schedule %d of seed %d fails, and not again: the application depends on "+
			"something else than what it is given, such as the order of a map", schedule, s.x.seed)
	}
	return &Failure{
		Why: why, Published: story.published, Steps: story.steps, Tree: story.tree(), Seed: s.x.seed, Schedule: schedule,
	}, nil
}
