package bustest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// broker is the channel of an exploration: what survives when a process dies. It
// does what it is told and nothing by itself, and is used by one goroutine or
// coroutine at a time.
type broker struct {
	groups []*brokerGroup
	counts map[string]int       // accepted events with a random id, by type
	names  map[string]entryName // of these, by id
	dead   []event.DeadLetter
	serial uint64
}

type brokerGroup struct {
	name    string
	topics  []string
	entries []*entry // not settled, in the order of acceptance
	settled []*entry // acked, in the order of their settlement
}

// entryName names an event within an exploration, the same in every run: its id, or,
// where that is random, the how many-th of its type it is.
type entryName struct {
	typ string
	id  string
	n   int
}

// randomID is the length of the ids that are not chosen and not derived.
const randomID = 26

func (b *broker) nameOf(e event.Event) entryName {
	if id := e.ID(); len(id) != randomID {
		return entryName{typ: e.Type(), id: id}
	}
	name, known := b.names[e.ID()]
	if !known {
		b.counts[e.Type()]++
		name = entryName{typ: e.Type(), n: b.counts[e.Type()]}
		b.names[e.ID()] = name
	}
	return name
}

func (n entryName) String() string {
	switch {
	case n.id == "":
		return fmt.Sprintf("%s #%d", n.typ, n.n)
	case len(n.id) > 16:
		return fmt.Sprintf("%s %s…", n.typ, n.id[:10])
	}
	return n.typ + " " + n.id
}

// entry is an event that a group is owed.
type entry struct {
	name     entryName
	e        event.Event
	topic    string
	g        *brokerGroup
	due      time.Time
	at       time.Time
	attempts int
	failures int
	offset   int64
	holder   *endpoint // who has it in hand
	token    uint64
	begun    bool
	retried  bool // waits for a retry: its key waits behind it
	repeated bool
	redriven bool
	lease    *lease
}

func newBroker() *broker {
	return &broker{counts: make(map[string]int), names: make(map[string]entryName)}
}

func (b *broker) group(name string) *brokerGroup {
	for _, g := range b.groups {
		if g.name == name {
			return g
		}
	}
	g := &brokerGroup{name: name}
	b.groups = append(b.groups, g)
	return g
}

// accept appends an event for every group of its topic.
func (b *broker) accept(topic string, e event.Event) {
	b.serial++
	name := b.nameOf(e)
	for _, g := range b.groups {
		if slices.Contains(g.topics, topic) {
			g.entries = append(g.entries, &entry{
				name: name, e: e, topic: topic, g: g, at: time.Now(), due: e.NotBefore(), offset: int64(b.serial),
			})
		}
	}
}

// deliverable returns the first entries that p may receive now, at most n: those
// whose key nobody else has in hand, and that no retry of their key is in front of.
func (g *brokerGroup) deliverable(p *endpoint, now time.Time, into []*entry, n int) []*entry {
	for i, en := range g.entries {
		if len(into) == n {
			break
		}
		if en.holder == nil && !en.due.After(now) && !g.blocked(i, p) {
			into = append(into, en)
		}
	}
	return into
}

// blocked reports whether an earlier entry of the key keeps the i-th from p.
func (g *brokerGroup) blocked(i int, p *endpoint) bool {
	en := g.entries[i]
	key := en.e.Key()
	if key == "" {
		return false
	}
	for j, other := range g.entries {
		if other == en || other.topic != en.topic || other.e.Key() != key {
			continue
		}
		switch {
		case other.holder != nil && other.holder != p:
			return true
		case j < i && other.holder == nil && (other.retried || !other.due.After(time.Now())):
			return true // it comes first
		}
	}
	return false
}

// nextDue returns when the first entry that waits for its time is due.
func (b *broker) nextDue(now time.Time) (at time.Time, any bool) {
	for _, g := range b.groups {
		for _, en := range g.entries {
			if en.holder == nil && en.due.After(now) && (!any || en.due.Before(at)) {
				at, any = en.due, true
			}
		}
	}
	return at, any
}

// unsettled returns how many events the groups are owed.
func (b *broker) unsettled() int {
	n := 0
	for _, g := range b.groups {
		n += len(g.entries)
	}
	return n
}

// remove ends an entry.
func (g *brokerGroup) remove(en *entry) {
	g.entries = slices.DeleteFunc(g.entries, func(o *entry) bool { return o == en })
	en.leave()
}

// leave takes an entry out of a hand: its token is stale.
func (en *entry) leave() {
	en.holder, en.token, en.begun, en.lease = nil, 0, false, nil
}

// lose takes an entry, and what is behind it in the same hand, from its holder: the
// lease is lost.
func (b *broker) lose(en *entry) {
	holder := en.holder
	var unbegun []event.Token
	for i, other := range en.g.entries {
		if i < slices.Index(en.g.entries, en) || other.holder != holder || other != en && !sameKey(other, en) {
			continue
		}
		if other.lease != nil {
			other.lease.End(event.ErrLeaseLost)
		}
		if !other.begun {
			unbegun = append(unbegun, other.tokenOf())
		}
		other.leave()
	}
	if m := holder.members[en.g]; m != nil && m.s.OnLost != nil && len(unbegun) > 0 {
		m.s.OnLost(unbegun)
	}
}

func sameKey(a, b *entry) bool {
	return a.e.Key() != "" && a.e.Key() == b.e.Key() && a.topic == b.topic
}

// repeat lets an acked event be delivered once more, at its old place.
func (b *broker) repeat(en *entry) {
	en.repeated = true
	g := en.g
	g.settled = slices.DeleteFunc(g.settled, func(o *entry) bool { return o == en })
	at := len(g.entries)
	for i, other := range g.entries {
		if other.offset > en.offset {
			at = i
			break
		}
	}
	g.entries = slices.Insert(g.entries, at, en)
}

// inHand returns how many deliveries a process has not settled.
func (b *broker) inHand(p *endpoint) int {
	n := 0
	for _, g := range b.groups {
		for _, en := range g.entries {
			if en.holder == p {
				n++
			}
		}
	}
	return n
}

// abandon takes everything out of the hand of a process that has died.
func (b *broker) abandon(p *endpoint) {
	for _, g := range b.groups {
		for _, en := range g.entries {
			if en.holder == p {
				en.leave()
			}
		}
	}
}

func (en *entry) tokenOf() event.Token { return event.Token{uint64(en.offset), en.token} }

// lease is the context of a delivery; it leads to the handler's task.
type lease struct {
	event.Lease

	p *endpoint
}

type taskKey struct{}

// Value returns the task that runs now under its key.
func (l *lease) Value(key any) any {
	if _, mine := key.(taskKey); mine {
		return l.p.task()
	}
	return l.Lease.Value(key)
}

var _ context.Context = (*lease)(nil)
