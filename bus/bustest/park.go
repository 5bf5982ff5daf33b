package bustest

import (
	"fmt"
	"time"

	"github.com/leat-go/leat/event"
)

// A key is parked as long as there is a dead letter of it from a Park on. What comes of
// it waits for nobody: moveBehind makes dead letters of it before anyone can look.

// front returns the dead letter that the key of an entry is parked behind, or nil.
func (b *broker) front(en *entry) *letter {
	for i := range b.dead {
		if l := &b.dead[i]; l.parked && l.en.g == en.g && sameKey(l.en, en) {
			return l
		}
	}
	return nil
}

// moveBehind makes dead letters of all that is there of parked keys, but for what is
// begun, which may end, and what is not due.
func (b *broker) moveBehind() {
	if len(b.dead) == 0 {
		return
	}
	now := time.Now()
	for _, g := range b.groups {
		for i := 0; i < len(g.entries); {
			en := g.entries[i]
			front := b.front(en)
			if later := en.holder == nil && !en.waits && en.due.After(now); front == nil || en.begun || later {
				i++
				continue
			}
			b.park(en, front)
		}
	}
}

// park moves an entry behind the dead letter that its key is parked behind, also out of
// a hand. One that was acked and came again is over.
func (b *broker) park(en *entry, front *letter) {
	holder, token := en.holder, en.tokenOf()
	if holder != nil && en.lease != nil {
		en.lease.End(event.ErrLeaseLost)
	} else if holder != nil {
		en.attempts--
	}
	en.behind = true
	if en.acked {
		en.g.remove(en)
	} else {
		if b.moved != nil {
			b.moved(en, front.en)
		}
		b.bury(en, behindCause(en, front), false)
	}
	if holder == nil {
		return
	}
	if m := holder.memberOf(en.g); m.s.OnLost != nil {
		m.s.OnLost([]event.Token{token})
	}
}

// behindCause says what an entry of a parked key waits for.
func behindCause(en *entry, front *letter) event.Cause {
	return event.Cause{
		Code: event.CodeParkedBehind, Text: fmt.Sprintf("waits behind %s of the same key", front.Event.ID()),
		Handler: front.Cause.Handler, Attempts: en.attempts, Failures: en.failures,
	}.Bounded()
}
