package bustest

import (
	"cmp"
	"slices"
)

// maxShrinking bounds the work spent on shortening, in choices.
const maxShrinking = 1_000_000

// shrinker makes a plan that fails shorter: each plan that it goes on with costs less.
type shrinker struct {
	x    *exploration
	plan plan
	cost cost
	ref  *result // without the publishes that are left out
	work int
}

// cost is what a reader of a failure has to take in.
type cost struct{ messages, steps, deviations, eager, leases int }

func (c cost) compare(d cost) int {
	return cmp.Or(
		cmp.Compare(c.messages, d.messages), cmp.Compare(c.steps, d.steps), cmp.Compare(c.deviations, d.deviations),
		cmp.Compare(c.eager, d.eager), cmp.Compare(c.leases, d.leases),
	)
}

func (p *plan) cost(steps int) cost {
	c := cost{steps: steps, deviations: len(p.deviations)}
	for _, left := range p.skip {
		if !left {
			c.messages++
		}
	}
	for _, d := range p.deviations {
		if d.do.kind == actLose { // a death is easier to read
			c.leases++
		}
	}
	if p.eager {
		c.eager = 1
	}
	return c
}

// shrink looks for the shortest story that still goes wrong.
func (x *exploration) shrink(schedule int, p plan) (*Failure, error) {
	p.skip = make([]bool, x.publishes())
	s := &shrinker{x: x, plan: p, ref: x.reference, cost: cost{messages: len(p.skip) + 1}}
	s.take(p, x.reference)
	for again := true; again; {
		again = s.patient()
		again = s.fewerDeviations() || again
		again = s.fewerPublishes(s.take) || again
		again = s.plainCrashes() || again
		again = again || s.otherwise(s.plan, s.ref)
		again = again || s.fewerPublishes(s.otherwise)
	}
	f, _, err := s.failure()
	if err == nil && f == nil {
		err = x.notAgain(schedule)
	}
	if err != nil {
		return nil, err
	}
	f.Seed, f.Schedule = x.seed, schedule
	return f, nil
}

// again runs a schedule that was written down, and no other.
func (x *exploration) again(text string) (*Failure, error) {
	if err := x.learn(); err != nil {
		return nil, err
	}
	p, err := parsePlan(text, x.publishes(), x.symbols)
	if err != nil {
		return nil, err
	}
	ref, err := x.undisturbed(p.skip)
	if err != nil {
		return nil, err
	}
	s := &shrinker{x: x, plan: *p, ref: ref}
	f, r, err := s.failure()
	if f == nil && err == nil {
		err = p.fits(r, x.symbols)
	}
	return f, err
}

func (x *exploration) publishes() int {
	var w World
	x.inBubble(func() { x.setup(&w) })
	return len(w.publishes)
}

// patient publishes each message when nothing else is left to do.
func (s *shrinker) patient() bool {
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
			i = -1
		}
	}
	return shorter
}

func (s *shrinker) fewerPublishes(take func(plan, *result) bool) (shorter bool) {
	for i := range s.plan.skip {
		if s.plan.skip[i] {
			continue
		}
		less := s.plan
		less.skip = slices.Clone(less.skip)
		less.skip[i] = true
		if ref, err := s.x.undisturbed(less.skip); err == nil && take(less, ref) {
			shorter = true
		}
	}
	return shorter
}

// plainCrashes lets processes die instead of losing leases.
func (s *shrinker) plainCrashes() (shorter bool) {
	for i := range s.plan.deviations {
		if d := s.plan.deviations[i]; d.do.kind == actLose {
			less := s.plan
			less.deviations = slices.Clone(less.deviations)
			less.deviations[i].do = action{kind: actCrash, proc: d.do.proc}
			if s.take(less, s.ref) {
				return true
			}
		}
	}
	return false
}

// otherwise takes all that can happen instead of some of a plan's deviations, and goes
// on with the best of it.
func (s *shrinker) otherwise(p plan, ref *result) (shorter bool) {
	for _, kept := range parts(p.deviations) {
		for _, eager := range [...]bool{false, true} {
			base := p
			base.eager, base.deviations = eager, kept
			for _, d := range s.openTo(base) {
				more := base
				more.deviations = append(slices.Clone(kept), d)
				shorter = s.take(more, ref) || shorter
			}
		}
	}
	return shorter
}

// parts returns nothing, each of the deviations, and all but each.
func parts(all []deviation) [][]deviation {
	some := [][]deviation{nil}
	if len(all) > 1 {
		for i := range all {
			some = append(some, all[i:i+1:i+1])
		}
	}
	if len(all) > 2 {
		for i := range all {
			some = append(some, slices.Delete(slices.Clone(all), i, i+1))
		}
	}
	return some
}

// openTo returns all that a plan could do besides.
func (s *shrinker) openTo(p plan) []deviation {
	if s.work > maxShrinking {
		return nil
	}
	var open []deviation
	how := p.schedule()
	how.open = &open
	r, err := s.x.run(p.skip, how, nil, false)
	if err != nil {
		return nil
	}
	s.work += r.length
	return open
}

// take goes on with a plan if it fails and costs less.
func (s *shrinker) take(p plan, ref *result) bool {
	if s.work > maxShrinking {
		return false
	}
	r, err := s.x.run(p.skip, p.schedule(), nil, false)
	if err != nil {
		return false
	}
	s.work += r.length
	if r.differs(ref) == "" {
		return false
	}
	p.deviations = slices.Clone(r.did)
	story := newTale(s.x.symbols)
	if r, err = s.x.run(p.skip, p.schedule(), story, false); err != nil || r.differs(ref) == "" {
		return false
	}
	s.work += r.length
	c := p.cost(len(story.steps))
	if c.compare(s.cost) >= 0 {
		return false
	}
	s.plan, s.ref, s.cost = p, ref, c
	return true
}

// failure runs the plan once more and tells what happens; the failure is nil when
// nothing goes wrong.
func (s *shrinker) failure() (*Failure, *result, error) {
	story := newTale(s.x.symbols)
	r, err := s.x.run(s.plan.skip, s.plan.schedule(), story, true)
	if err != nil {
		return nil, nil, err
	}
	why := r.differs(s.ref)
	if why == "" {
		return nil, r, nil
	}
	return &Failure{
		Why: why, Published: story.published, Steps: story.steps, Tree: story.tree(),
		Replay: s.plan.text(s.x.symbols), Schedule: -1,
	}, r, nil
}
