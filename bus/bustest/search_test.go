package bustest

import (
	"errors"
	"testing"

	"github.com/leat-go/leat/event"
)

// The lowest schedule counts, whichever searcher ends first.
func TestHuntEndsAtTheFirstFailure(t *testing.T) {
	cannot := errors.New("it can't be run")
	for name, c := range map[string]struct {
		stop   []int // negative: schedule -i-1 can't be run
		end    int
		failed bool
		err    error
	}{
		"none":                {nil, 100, false, nil},
		"in order":            {[]int{1, 3}, 2, true, nil},
		"the later one first": {[]int{3, 1, 2}, 2, true, nil},
		"error before":        {[]int{3, -2}, 2, false, cannot},
		"error behind":        {[]int{-4, 1}, 2, true, nil},
		"error":               {[]int{1, -4}, 2, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHunt(newExploration(smallWorld, []ExploreOption{Schedules(100)}))
			for _, i := range c.stop {
				if i < 0 {
					h.stop(-i-1, cannot)
					continue
				}
				h.stop(i, nil)
			}
			if int(h.end.Load()) != c.end || h.failed != c.failed || !errors.Is(h.err, c.err) {
				t.Errorf("end %d, failed %t, error %v", h.end.Load(), h.failed, h.err)
			}
			if n := h.report().Schedules; n != c.end {
				t.Errorf("%d schedules", n)
			}
			tried := 0
			for i, left := h.take(); left; i, left = h.take() {
				if tried++; i >= c.end {
					t.Errorf("schedule %d is tried", i)
				}
			}
			if tried != c.end {
				t.Errorf("%d are tried", tried)
			}
		})
	}
}

// The doc of Explore says what the simulated broker is not.
func TestCapabilitiesOfTheSimulatedBroker(t *testing.T) {
	var c event.Channel = new(endpoint)
	_, cancels := c.(event.Scheduler)
	_, counts := c.(event.LagReporter)
	_, settles := c.(event.Quiescer)
	_, keeps := c.(event.DeadLetters)
	if cancels || counts || settles || !keeps {
		t.Errorf("Scheduler %v, LagReporter %v, Quiescer %v, DeadLetters %v", cancels, counts, settles, keeps)
	}
}
