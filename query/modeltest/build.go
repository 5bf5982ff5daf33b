package modeltest

import (
	"errors"
	"sync"

	"github.com/leat-go/leat/query"
)

func buildCases() []testCase {
	return []testCase{
		{
			"Build", "What is built is empty, and nobody sees it.",
			func(e *env) {
				e.apply(at(1), "a")
				n, release := e.build()
				defer release()
				e.isOut(of(n, at(1)))
				u := e.begin(e.Model, of(n, at(1)))
				e.numberIn(u.Context(e.ctx()), "a", 0)
				u.Rollback(e.ctx())
				for o := int64(2); o <= 4; o++ {
					e.apply(of(n, at(o)), "a")
					e.isIn(of(n, at(o)))
					e.isOut(at(o))
				}
				u = e.begin(e.Model, of(n, at(5)))
				e.numberIn(u.Context(e.ctx()), "a", 3)
				u.Rollback(e.ctx())
				e.number("a", 1)
				e.reached(topic, 0, 1)
				e.seen(false, at(2).ID)
				e.apply(at(2), "a")
				e.number("a", 2)
			},
		},
		{
			"BuildAlone", "One builds at a time, whichever the process.",
			func(e *env) {
				n, release := e.build()
				for i := range 2 {
					if _, _, err := e.either(i).Build(e.ctx()); !errors.Is(err, query.ErrRebuilding) {
						e.t.Fatalf("Build while another builds: %v", err)
					}
				}
				release()
				again, release, err := e.Other.Build(e.ctx())
				if err != nil || again <= n {
					e.t.Fatalf("Build after a release: %d after %d, %v", again, n, err)
				}
				release()
			},
		},
		{
			"Dropped", "What was built and doesn't serve is dropped by its release.",
			func(e *env) {
				e.apply(at(1), "a")
				n, release := e.build()
				e.apply(of(n, at(1)), "a")
				e.apply(of(n, at(2)), "a")
				release()
				if u, err := e.Model.Begin(e.ctx(), of(n, at(3))); err == nil || errors.Is(err, query.ErrApplied) {
					if u != nil {
						u.Rollback(e.ctx())
					}
					e.t.Fatalf("Begin in a generation that was dropped: %v", err)
				}
				if done, err := e.Model.Switch(e.ctx(), n); done {
					e.t.Fatalf("Switch to a generation that was dropped: %t, %v", done, err)
				}
				e.number("a", 1)
				n, release = e.build()
				defer release()
				e.isOut(of(n, at(1)))
				u := e.begin(e.Model, of(n, at(1)))
				e.numberIn(u.Context(e.ctx()), "a", 0)
				u.Rollback(e.ctx())
			},
		},
	}
}

//nolint:gocognit // a list
func switchCases() []testCase {
	return []testCase{
		{
			"Switch", "What was built serves when it has all that the one before has, and not earlier.",
			func(e *env) {
				for o := int64(1); o <= 3; o++ {
					e.apply(at(o), "old")
				}
				e.pass(at(4), true)
				e.pass(at(6), false)
				e.apply(in(2, 1), "old")
				n, release := e.build()
				defer release()
				for _, s := range []query.Step{at(1), at(2), at(3), at(5), at(6), in(2, 1), in(7, 1)} {
					e.switched(n, false)
					e.apply(of(n, s), "new")
				}
				e.switched(n, false)
				e.number("old", 4)
				e.apply(of(n, at(4)), "new")
				e.reached(topic, 0, 4)
				e.switched(n, true)
				e.switched(n, true)
				e.number("old", 0)
				e.number("new", 8)
				e.reached(topic, 0, 6)
				e.reached(topic, 7, 1)
				e.isIn(at(4))
				e.seen(true, at(5).ID, at(1).ID)
				e.apply(at(7), "new")
				e.apply(of(n, at(8)), "new") // of the same
				e.number("new", 10)
				release()
				e.number("new", 10)
				e.isIn(at(8))
			},
		},
		{
			"SwitchEmpty", "An empty model is replaced at once, and again.",
			func(e *env) {
				for range 2 {
					n, release := e.build()
					e.switched(n, true)
					release()
				}
				e.apply(at(1), "a")
				e.number("a", 1)
			},
		},
		{
			"SwitchAndTransaction", "A transaction of the generation that was replaced doesn't commit; its step lands in the new one.",
			func(e *env) {
				n, release := e.build()
				defer release()
				u := e.begin(e.Model, at(1))
				e.add(u, "a")
				switched := make(chan bool)
				go func() {
					done, err := e.Other.Switch(e.ctx(), n)
					if err != nil {
						e.t.Errorf("Switch: %v", err)
					}
					switched <- done
				}()
				for range 50 { // the switch may come first, or wait for the transaction
					pause()
				}
				err := u.Commit(e.ctx())
				u.Rollback(e.ctx())
				if errors.Is(err, query.ErrApplied) || errors.Is(err, query.ErrAborted) {
					e.t.Errorf("Commit: %v", err)
				}
				if done := <-switched; done == (err == nil) {
					e.t.Errorf("the switch was done: %t; and the transaction: %v", done, err)
				}
				if err != nil && !u.Interrupted(err) {
					e.t.Errorf("that it has to give way isn't the handler's failure: %v", err)
				}
				e.persist(e.Model, at(1), "a")
				e.number("a", 1)
				e.isIn(at(1))
			},
		},
		{
			"SwitchInTraffic", "Events that are applied while another generation takes over are all in it, once.",
			func(e *env) {
				const offsets = 60
				n, release := e.build()
				defer release()
				var all sync.WaitGroup
				for lane := range int32(2) {
					all.Go(func() {
						for o := range int64(offsets) {
							e.persist(e.either(int(o)), in(lane, o+1), "a")
						}
					})
					all.Go(func() {
						for o := range int64(offsets) {
							e.persist(e.either(int(o)), of(n, in(lane, o+1)), "a")
						}
					})
				}
				all.Go(func() {
					for {
						if done, err := e.Model.Switch(e.ctx(), n); err == nil && done {
							return
						}
						pause()
					}
				})
				all.Go(func() { // reads what serves
					for range 20 {
						if n, err := e.Get(e.ctx(), "a"); err != nil || n < 0 || n > 2*offsets {
							e.t.Errorf("Get: %d, %v", n, err)
						}
						pause()
					}
				})
				all.Wait()
				e.switched(n, true)
				e.number("a", 2*offsets)
				e.reached(topic, 0, offsets)
				e.reached(topic, 1, offsets)
			},
		},
	}
}
