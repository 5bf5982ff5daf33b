package modeltest

import (
	"context"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

func stepCases() []testCase {
	return []testCase{
		{
			"Once", "An event that was applied isn't begun again.",
			func(e *env) {
				e.isOut(at(1))
				e.apply(at(1), "a")
				e.number("a", 1)
				e.isIn(at(1))
				redriven := at(1)
				redriven.Redriven = true
				e.isIn(redriven)
				e.number("a", 1)
			},
		},
		{
			"Rollback", "A rollback leaves nothing, and the event can be applied later.",
			func(e *env) {
				for range 2 {
					u := e.begin(e.Model, at(1))
					e.add(u, "a")
					u.Rollback(e.ctx())
					u.Rollback(e.ctx())
				}
				e.number("a", 0)
				e.reached(topic, 0, 0)
				e.seen(false, at(1).ID)
				e.apply(at(1), "a")
				e.number("a", 1)
			},
		},
		{
			"OwnWrites", "A transaction sees its own writes, others don't before the commit.",
			func(e *env) {
				e.apply(at(1), "a")
				u := e.begin(e.Model, at(2))
				e.add(u, "a")
				e.numberIn(u.Context(e.ctx()), "a", 2)
				e.number("a", 1)
				e.reached(topic, 0, 1)
				e.seen(false, at(2).ID)
				if err := u.Commit(e.ctx()); err != nil {
					e.t.Fatalf("Commit: %v", err)
				}
				u.Rollback(e.ctx())
				e.number("a", 2)
				e.reached(topic, 0, 2)
			},
		},
		{
			"NothingWritten", "A transaction that changes nothing commits its step all the same.",
			func(e *env) {
				u := e.begin(e.Model, at(1))
				if err := u.Commit(e.ctx()); err != nil {
					e.t.Fatalf("Commit: %v", err)
				}
				e.isIn(at(1))
				e.reached(topic, 0, 1)
			},
		},
		{
			"SameID", "An event of a source and id that were applied isn't applied at another position.",
			func(e *env) {
				e.apply(at(1), "a")
				twin := at(2)
				twin.ID = at(1).ID
				e.isIn(twin)
				e.reached(topic, 0, 1)
				e.pass(twin, false)
				e.reached(topic, 0, 2)
				other := at(3)
				other.ID, other.Source = at(1).ID, "/elsewhere"
				e.apply(other, "a")
				e.number("a", 2)
			},
		},
		{
			"NoPosition", "An event without a position is applied once, by source and id.",
			func(e *env) {
				s := at(1)
				s.At, s.ID = event.Position{}, "replayed"
				e.apply(s, "a")
				e.isIn(s)
				e.seen(true, "replayed")
				e.reached(topic, 0, 0)
				s.ID = "other"
				e.apply(s, "a")
				e.number("a", 2)
				s.ID = "passed"
				e.pass(s, true)
				e.seen(false, "passed")
				e.pass(s, false)
				e.seen(true, "passed")
				e.reached(topic, 0, 0)
			},
		},
		{
			"Ended", "A context that has ended begins and commits nothing.",
			func(e *env) {
				u := e.begin(e.Model, at(1))
				e.add(u, "a")
				ended, cancel := context.WithCancel(e.ctx())
				cancel()
				if err := u.Commit(ended); err == nil {
					e.t.Fatal("Commit under a context that has ended returns nil")
				}
				u.Rollback(e.ctx())
				e.number("a", 0)
				if _, err := e.Model.Begin(ended, at(2)); err == nil {
					e.t.Fatal("Begin under a context that has ended returns nil")
				}
				if err := e.Model.Pass(ended, at(3), false); err == nil {
					e.t.Fatal("Pass under a context that has ended returns nil")
				}
				e.reached(topic, 0, 0)
			},
		},
	}
}

func seenCases() []testCase {
	return []testCase{
		{
			"Seen", "An event is seen by its id and by that of its cause, once it is applied, or passed and not dead.",
			func(e *env) {
				e.seen(false, at(1).ID, "command", "")
				s := at(1)
				s.Cause = "command"
				e.apply(s, "a")
				e.seen(true, s.ID, "command")
				e.seen(false, "", "comman", at(2).ID)
				e.pass(query.Step{Topic: topic, At: at(2).At, Source: "/s", ID: "passed", Cause: "asked"}, false)
				e.seen(true, "passed", "asked", "command")
				e.pass(query.Step{Topic: topic, At: at(3).At, Source: "/s", ID: "dead", Cause: "hopeless"}, true)
				e.seen(false, "dead", "hopeless")
				if got, err := e.Model.Seen(e.ctx()); err != nil || len(got) > 0 {
					e.t.Fatalf("Seen of nothing: %v, %v", got, err)
				}
				got, err := e.Model.Seen(e.ctx(), "x", s.ID, "y", "passed", s.ID)
				if err != nil || len(got) != 5 || got[0] || !got[1] || got[2] || !got[3] || !got[4] {
					e.t.Fatalf("Seen, in the order of the ids: %v, %v", got, err)
				}
			},
		},
	}
}
