package modeltest

import "github.com/leat-go/leat/query"

func placeCases() []testCase {
	return []testCase{
		{
			"OutOfOrder", "Events of a lane are applied in any order; it is reached up to where none is missing.",
			func(e *env) {
				e.reached(topic, 0, 0)
				for _, s := range []struct{ at, reached int64 }{
					{3, 0}, {5, 0}, {1, 1}, {9, 1}, {4, 1}, {2, 5}, {8, 5}, {6, 6}, {7, 9}, {10, 10},
				} {
					e.isOut(at(s.at))
					e.apply(at(s.at), "a")
					e.isIn(at(s.at))
					e.reached(topic, 0, s.reached)
				}
				for o := range int64(10) {
					e.isIn(at(o + 1))
				}
				e.isOut(at(11))
				e.number("a", 10)
			},
		},
		{
			"Lanes", "Lanes and topics have nothing to do with each other.",
			func(e *env) {
				e.apply(in(3, 1), "a")
				e.apply(in(3, 2), "a")
				e.apply(in(0, 7), "a")
				other := in(3, 1)
				other.Topic, other.ID = "other", "of the other topic"
				e.apply(other, "a")
				e.isOut(in(0, 1))
				e.isOut(in(1, 1))
				e.isOut(in(0, 2))
				e.reached(topic, 3, 2)
				e.reached(topic, 0, 0)
				e.reached(topic, 1, 0)
				e.reached("other", 3, 1)
				e.reached("nowhere", 0, 0)
			},
		},
		{
			"Gap", "A step is done with its gap.",
			func(e *env) {
				gap := func(offset, n int64) (s query.Step) {
					s = at(offset)
					s.Gap = n
					return s
				}
				e.apply(gap(10, 4), "a")
				for o := int64(6); o <= 10; o++ {
					e.isIn(at(o))
				}
				e.isOut(at(5))
				e.isOut(at(11))
				e.reached(topic, 0, 0)
				e.apply(gap(5, 4), "a")
				e.reached(topic, 0, 10)
				e.pass(gap(20, 3), false)
				e.isIn(at(17))
				e.isOut(at(16))
				e.pass(gap(16, 5), true)
				e.reached(topic, 0, 20)
				e.isIn(at(11))
				e.isOut(at(16)) // it may come again
				e.isIn(at(15))
			},
		},
		{
			"ManyRanges", "However many ranges there are, each position is known.",
			func(e *env) {
				const n = 300
				for o := int64(1); o <= n; o++ {
					e.pass(at(2*o), false)
				}
				e.reached(topic, 0, 0)
				for o := int64(n); o >= 1; o-- {
					e.isIn(at(2 * o))
					if o%50 == 0 {
						e.isOut(at(2*o - 1))
					}
				}
				for o := int64(n); o > 1; o-- {
					e.pass(at(2*o-1), false)
				}
				e.reached(topic, 0, 0)
				e.pass(at(1), false)
				e.reached(topic, 0, 2*n)
			},
		},
	}
}

func passCases() []testCase {
	return []testCase{
		{
			"Pass", "What was passed isn't begun any more.",
			func(e *env) {
				e.pass(at(1), false)
				e.pass(at(1), false)
				e.isIn(at(1))
				e.reached(topic, 0, 1)
				e.pass(at(1), true)
				e.isIn(at(1))
			},
		},
		{
			"Dead", "The model is done with what is dead; it can be applied later, once, redriven or not.",
			func(e *env) {
				for _, redriven := range []bool{true, false} {
					s := at(1)
					if !redriven {
						s = at(2)
					}
					e.pass(s, true)
					e.pass(s, true)
					e.reached(topic, 0, s.At.Offset)
					again := s
					again.Redriven = redriven
					e.isOut(again)
					e.apply(again, "a")
					e.isIn(again)
					e.isIn(s)
					e.reached(topic, 0, s.At.Offset)
					e.pass(s, true) // it was late
					e.isIn(again)
				}
				e.number("a", 2)
			},
		},
		{
			"DeadAndPassed", "What was dead and is passed for good isn't begun any more.",
			func(e *env) {
				e.pass(at(1), true)
				e.pass(at(1), false)
				e.isIn(at(1))
				e.pass(at(1), true)
				e.isIn(at(1))
			},
		},
		{
			"Repaired", "In the place of what is dead another event may come.",
			func(e *env) {
				e.pass(at(1), true)
				s := at(1)
				s.ID, s.Cause, s.Redriven = "repaired", at(1).ID, true
				e.apply(s, "a")
				e.isIn(s)
				e.isIn(at(1))
				e.seen(true, "repaired", at(1).ID)
			},
		},
		{
			"GapOverDead", "A gap changes nothing of what is dead.",
			func(e *env) {
				e.pass(at(3), true)
				s := at(5)
				s.Gap = 4
				e.apply(s, "a")
				e.reached(topic, 0, 5)
				e.isOut(at(3))
				e.apply(at(3), "a")
				e.number("a", 2)
			},
		},
	}
}
