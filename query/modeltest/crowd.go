package modeltest

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/query"
)

//nolint:gocognit // a list
func crowdCases() []testCase {
	return []testCase{
		{
			"TwoForOne", "Of several transactions for one step one commits.",
			func(e *env) {
				const steps, each = 10, 4
				for o := range int64(steps) {
					var did atomic.Int32
					var all sync.WaitGroup
					for i := range each {
						all.Go(func() {
							if e.persist(e.either(i), at(o+1), fmt.Sprint("k", o)) {
								did.Add(1)
							}
						})
					}
					all.Wait()
					if did.Load() != 1 {
						e.t.Fatalf("step %d was committed %d times", o+1, did.Load())
					}
					e.number(fmt.Sprint("k", o), 1)
				}
				e.reached(topic, 0, steps)
			},
		},
		{
			"SameIDAtOnce", "Of two events by one source and id, at two positions, one commits.",
			func(e *env) {
				for o := range int64(10) {
					var all sync.WaitGroup
					for i := range 2 {
						s := in(int32(i), o+1)
						s.ID = fmt.Sprint("twin-", o)
						all.Go(func() { e.persist(e.either(i), s, "a") })
					}
					all.Wait()
				}
				e.number("a", 10)
			},
		},
		{
			"Crowd", "Many apply events of several lanes at the same time, each twice: each has its effect once.",
			func(e *env) {
				const workers, lanes, offsets = 8, 3, 25
				var steps []query.Step
				for lane := range int32(lanes) {
					for o := range int64(offsets) {
						steps = append(steps, in(lane, o+1), in(lane, o+1))
					}
				}
				rand.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
				var next atomic.Int64
				var all sync.WaitGroup
				for i := range workers {
					all.Go(func() {
						for n := next.Add(1) - 1; n < int64(len(steps)); n = next.Add(1) - 1 {
							e.persist(e.either(i), steps[n], "a")
						}
					})
				}
				all.Wait()
				e.number("a", lanes*offsets)
				for lane := range int32(lanes) {
					e.reached(topic, lane, offsets)
				}
			},
		},
	}
}
