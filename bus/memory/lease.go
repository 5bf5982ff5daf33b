package memory

import "github.com/leat-go/leat/event"

// leaseSlab is how many leases share an allocation.
const leaseSlab = 16

// lease is the context of a delivery. It knows the delivery, so that a publish
// inside the handler is known to be its.
type lease struct {
	event.Lease

	m     *consumer
	token event.Token
	wants *want // set when a publish found no room; belongs to Channel.passing
}

type leaseKey struct{}

// Value returns the lease itself under its key.
func (l *lease) Value(key any) any {
	if _, mine := key.(leaseKey); mine {
		return l
	}
	return l.Lease.Value(key)
}

// newLease returns a lease that was never used. The group is locked.
func (g *group) newLease(m *consumer, t event.Token) *lease {
	if g.leased == len(g.leases) {
		g.leases, g.leased = make([]lease, leaseSlab), 0
	}
	l := &g.leases[g.leased]
	g.leased++
	l.m, l.token = m, t
	return l
}

// ending is what must be done after a group was unlocked: ending contexts runs
// code of others.
type ending struct {
	leases []*lease
	cause  error
	lost   []lostTokens
	moved  settled // by what was moved behind parked keys
	c      *Channel
	told   []toldError
}

type toldError struct {
	tell func(error)
	err  error
}

type lostTokens struct {
	tell   func([]event.Token)
	tokens []event.Token
}

func (e *ending) run() {
	for _, l := range e.leases {
		l.End(e.cause)
	}
	for _, l := range e.lost {
		l.tell(l.tokens)
	}
	for _, t := range e.told {
		t.tell(t.err)
	}
	if e.c != nil {
		e.moved.tell(e.c)
	}
}
