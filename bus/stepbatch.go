package bus

import (
	"time"

	"github.com/leat-go/leat/event"
)

// Batch returns the tokens of the deliveries that a Run of the pick-th would take
// together, in the order in which the handler gets them; nil when it is of no batch.
func (s *Stepper) Batch(group, pick int) []event.Token {
	g := &s.groups[group]
	g.mu.Lock()
	defer g.mu.Unlock()
	var all members
	switch {
	case g.ready.len() == 0:
		all = g.handOver(pick).next()
	case g.ready.at(pick).leads():
		all = *g.ready.at(pick).batch
	default:
		return nil
	}
	tokens := make([]event.Token, len(all))
	for i, it := range all {
		tokens[i] = it.d.Token
	}
	return tokens
}

// leads reports whether an item leads a batch that is complete.
func (it *item) leads() bool { return it.taken && it.batch != nil }

// handsOver reports whether what has come together would be handed over now, though
// its batch isn't full and its wait isn't over: as gatherIdle and gatherNoMore do, when
// nothing else is ready. mu is held.
func (g *group) handsOver(b *gathering) bool {
	if b.first.len() == 0 {
		return false
	}
	return b.wait <= 0 || !g.paused && !g.shouldGiveBack() && g.standsStill()
}

// handedOver counts the gatherings of which that is so. mu is held.
func (g *group) handedOver() int {
	n := 0
	for _, b := range g.gatherings {
		if g.handsOver(b) {
			n++
		}
	}
	return n
}

// handOver returns the pick-th of these. mu is held.
func (g *group) handOver(pick int) *gathering {
	for _, b := range g.gatherings {
		if !g.handsOver(b) {
			continue
		}
		if pick == 0 {
			return b
		}
		pick--
	}
	panic("bus: stepper: nothing to be run")
}

// gatheringDue returns when the first batch is due that waits for more. mu is held.
func (g *group) gatheringDue() (at time.Time, waits bool) {
	for _, b := range g.gatherings {
		if b.wait <= 0 || b.first.len() == 0 {
			continue
		}
		if due := b.first.at(0).due; !waits || due.Before(at) {
			at, waits = due, true
		}
	}
	return at, waits
}
