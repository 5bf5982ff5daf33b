package memory

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// memberState is where a consumer stands in its life.
type memberState uint8

const (
	memberOpen memberState = iota
	memberClosing
	memberClosed
	memberCrashed
)

// consumer is one member of a group. Its fields belong to the group's mutex.
type consumer struct {
	c       *Channel
	g       *group
	id      int32
	most    int // deliveries in hand, unless some are aside; 0: any number
	grace   time.Duration
	lost    func([]event.Token)
	queues  []*queue
	wake    chan struct{} // of one token: Receive has to look again
	ended   chan struct{} // of one token: Close has to look again; from Close on
	state   memberState
	idle    bool // waits in Receive for an event
	full    bool // waits in Receive for room in its hand
	turn    int  // the queue that was looked at last
	inHand  int
	aside   int // of these, held and waiting for room
	begun   int
	expires int64         // of a crashed one
	unbegun []event.Token // of a crashed one
	owned   laneList
}

var _ event.Consumer = (*consumer)(nil)

func (m *consumer) signal() { signal(m.wake) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // one is there already
	}
}

// Begin implements [event.Consumer]. All runs of a delivery have the same context.
func (m *consumer) Begin(t event.Token) (context.Context, bool) {
	g := m.g
	g.mu.Lock()
	defer g.mu.Unlock()
	s := m.mine(t)
	if s == nil {
		return nil, false
	}
	if s.state != stateBegun {
		g.setState(m, s, stateBegun)
	}
	if s.lease == nil {
		s.lease = g.newLease(m, t)
	}
	return s.lease, true
}

// mine returns the slot of a token, or nil.
func (m *consumer) mine(t event.Token) *slot {
	if m.state > memberClosing || m.g.gone {
		return nil
	}
	return m.g.hand(m, t)
}

// Hold implements [event.Consumer].
func (m *consumer) Hold(t event.Token, failures int) {
	g := m.g
	g.mu.Lock()
	s := m.mine(t)
	if s == nil {
		g.mu.Unlock()
		return
	}
	var end ending
	s.failures = int32(failures)
	g.setState(m, s, stateHeld)
	if m.state == memberClosing {
		g.giveBack(m, int32(t[0]), 0)
		g.moveBehind(&end)
	} else {
		g.recallHeld(m, s, &end)
	}
	m.handEmptied()
	g.mu.Unlock()
	end.run()
}

// handEmptied tells a waiting Close that nothing is begun any more, and a waiting
// Receive that there is room in the hand.
func (m *consumer) handEmptied() {
	if m.ended != nil && m.begun == 0 {
		signal(m.ended)
	}
	if m.full {
		m.full = false
		m.signal()
	}
}
