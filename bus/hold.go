package bus

import (
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// checkHold returns a mistake for every handler that lets a delivery be in hand for
// longer than the channel can, on a topic: then it goes to somebody else in the middle
// of its run, or of its wait.
func (g *group) checkHold(topic string, gives event.Guarantees) []error {
	most := gives.MaxHold
	if most == 0 {
		return nil
	}
	var errs []error
	for _, h := range g.list {
		if !slices.Contains(g.topicsOf(h), topic) {
			continue
		}
		for _, hold := range []struct {
			what string
			d    time.Duration
		}{
			{"Timeout", h.opts.timeout},
			{"Retry, whose longest wait", h.opts.longestWait()},
			{"Batch, whose wait", h.opts.batchWait()},
		} {
			if hold.d > most {
				errs = append(errs, fmt.Errorf("handler %q: topic %q: %s is %v: %s lets a delivery be in hand for %v at most",
					h.name, topic, hold.what, hold.d, gives.Channel, most))
			}
		}
	}
	return errs
}

// longestWait returns the longest wait of a retry that was asked for; 0 when the
// longest is the default.
func (s *subscription) longestWait() time.Duration {
	r := s.retry.withDefaults()
	if s.retry.Max == 0 && s.retry.First == 0 {
		return 0
	}
	if s.retry.Max == 0 { // as long as it may
		return r.First
	}
	if s.blockKey {
		return r.Max
	}
	return r.wait(max(r.Attempts-1, 1), noJitter, 0)
}

func (s *subscription) batchWait() time.Duration {
	if s.batch == nil {
		return 0
	}
	return s.batch.wait
}

// fitRetries lets no wait that nobody asked for be longer than half of what the channel
// lets a delivery be in hand: the run has to fit too.
func (g *group) fitRetries() {
	if g.gives.MaxHold == 0 {
		return
	}
	for _, h := range g.list {
		h.retry = h.opts.retry.withDefaults()
		if h.opts.retry.Max == 0 {
			h.retry.Max = max(h.retry.First, min(h.retry.Max, g.gives.MaxHold/2))
		}
	}
}
