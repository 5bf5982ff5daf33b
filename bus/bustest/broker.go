package bustest

import (
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// broker is the channel of an exploration: what survives when a process dies. It does
// what it is told and nothing by itself, but for moveBehind, and is used by one
// goroutine or coroutine at a time.
type broker struct {
	symbols *symbols
	groups  []*brokerGroup
	all     []*entry          // ever accepted; an entry's index is in its tokens
	counts  map[string]int    // events with a random id, by type
	random  map[string]symbol // of these, by id
	dead    []letter          // oldest first
	serial  uint64
	alive   int                    // processes
	moved   func(en, front *entry) // told of what goes behind a dead letter; may be nil
}

type brokerGroup struct {
	b       *broker
	name    string
	topics  []string
	entries []*entry // not settled, in the order of acceptance
	settled []*entry // acked, in the order of their settlement
	busy    []*entry // scratch
}

// entry is an event that a group is owed.
type entry struct {
	name     symbol
	index    uint64 // in broker.all
	e        event.Event
	topic    string
	g        *brokerGroup
	due      time.Time
	at       time.Time
	attempts int
	failures int
	offset   int64
	holder   *endpoint // who has it in hand
	shuns    *endpoint // who lost it: others get it first, while there are some
	token    uint64
	begun    bool
	waits    bool // given back with a delay: its key waits behind it
	acked    bool // once, at least
	repeated bool // delivered once more though it was acked
	behind   bool // was moved behind a dead letter of its key
	redriven bool
	lease    *lease
}

func newBroker(s *symbols) *broker { return &broker{symbols: s} }

// randomID is the length of the ids that are neither chosen nor derived.
const randomID = 26

// nameOf names an event that is accepted. An id is random as well when it was derived
// from the random one of its cause.
func (b *broker) nameOf(e event.Event) symbol {
	id := e.ID()
	if sym, known := b.random[id]; known {
		return sym
	}
	_, derived := b.random[e.Extension(event.ExtCausationID)]
	if len(id) != randomID && !derived {
		return b.symbols.symbol(name{typ: e.Type(), id: id})
	}
	if b.random == nil {
		b.random, b.counts = make(map[string]symbol), make(map[string]int)
	}
	b.counts[e.Type()]++
	sym := b.symbols.symbol(name{typ: e.Type(), n: b.counts[e.Type()]})
	b.random[id] = sym
	return sym
}

// group returns a group; it is made when it is not there.
func (b *broker) group(name string) *brokerGroup {
	for _, g := range b.groups {
		if g.name == name {
			return g
		}
	}
	g := &brokerGroup{b: b, name: name}
	b.groups = append(b.groups, g)
	return g
}

// accept appends an event for every group of its topic.
func (b *broker) accept(topic string, e event.Event) {
	sym := b.nameOf(e)
	b.serial++
	for _, g := range b.groups {
		if slices.Contains(g.topics, topic) {
			en := b.entry(g, topic, e, sym)
			g.entries = append(g.entries, en)
		}
	}
}

func (b *broker) entry(g *brokerGroup, topic string, e event.Event, sym symbol) *entry {
	en := &entry{
		name: sym, index: uint64(len(b.all)), e: e, topic: topic, g: g,
		at: time.Now(), due: e.NotBefore(), offset: int64(b.serial),
	}
	b.all = append(b.all, en)
	return en
}

// entryOf returns the entry that a token names, whoever has it now.
func (b *broker) entryOf(t event.Token) *entry { return b.all[t[0]] }

// deliverable returns the first entries that p may receive now, at most n. Of a key
// they come in order: not while another process has some of it in hand, and not before
// an earlier one that is due, or was given back.
func (g *brokerGroup) deliverable(p *endpoint, now time.Time, into []*entry, n int) []*entry {
	g.busy = g.busy[:0]
	for _, en := range g.entries {
		if en.holder != nil && en.holder != p {
			g.block(en)
		}
	}
	for _, en := range g.entries {
		if len(into) == n {
			break
		}
		switch due := !en.due.After(now); {
		case en.holder != nil:
		case due && (en.shuns != p || g.b.alive == 1) && !g.blocked(en):
			into = append(into, en)
		case due || en.waits:
			g.block(en)
		}
	}
	return into
}

// block keeps the key of an entry back.
func (g *brokerGroup) block(en *entry) {
	if en.e.Key() != "" && !g.blocked(en) {
		g.busy = append(g.busy, en)
	}
}

func (g *brokerGroup) blocked(en *entry) bool {
	for _, other := range g.busy {
		if sameKey(en, other) {
			return true
		}
	}
	return false
}

func sameKey(a, b *entry) bool {
	return a.e.Key() != "" && a.e.Key() == b.e.Key() && a.topic == b.topic
}

// nextDue returns when the first entry that waits for its time is due.
func (b *broker) nextDue(now time.Time) (at time.Time, waits bool) {
	for _, g := range b.groups {
		for _, en := range g.entries {
			if en.holder == nil && en.due.After(now) && (!waits || en.due.Before(at)) {
				at, waits = en.due, true
			}
		}
	}
	return at, waits
}

// unsettled returns an entry that is not settled, or nil.
func (b *broker) unsettled() *entry {
	for _, g := range b.groups {
		if len(g.entries) > 0 {
			return g.entries[0]
		}
	}
	return nil
}

// handled reports whether the group has acked the event of an entry, or a copy of it.
func (b *broker) handled(en *entry) bool {
	return slices.ContainsFunc(b.all, func(other *entry) bool {
		return other.acked && other.g == en.g && other.name == en.name
	})
}

// remove ends an entry.
func (g *brokerGroup) remove(en *entry) {
	i := slices.Index(g.entries, en)
	g.entries = slices.Delete(g.entries, i, i+1)
	en.leave()
}

// insert puts an entry back to its place in the order of acceptance.
func (g *brokerGroup) insert(en *entry) {
	at := len(g.entries)
	for i, other := range g.entries {
		if other.offset > en.offset {
			at = i
			break
		}
	}
	g.entries = slices.Insert(g.entries, at, en)
}

// leave takes an entry out of a hand: its token is stale.
func (en *entry) leave() {
	en.holder, en.token, en.begun, en.lease = nil, 0, false, nil
}

// fronts calls f with the entries in hand that are the first of their key there.
func (g *brokerGroup) fronts(f func(*entry)) {
	for i, en := range g.entries {
		behind := func(other *entry) bool { return other.holder == en.holder && sameKey(other, en) }
		if en.holder != nil && !slices.ContainsFunc(g.entries[:i], behind) {
			f(en)
		}
	}
}

// lose takes an entry, and all of its key, from the hand that has them: the lease is
// lost.
func (b *broker) lose(en *entry) {
	holder := en.holder
	var unbegun []event.Token
	for _, other := range en.g.entries {
		if other.holder != holder || other != en && !sameKey(other, en) {
			continue
		}
		if other.lease != nil {
			other.lease.End(event.ErrLeaseLost)
		}
		if !other.begun {
			unbegun = append(unbegun, other.tokenOf())
		}
		other.leave()
		other.shuns = holder
	}
	if m := holder.memberOf(en.g); len(unbegun) > 0 && m.s.OnLost != nil {
		m.s.OnLost(unbegun)
	}
}

// repeat lets an acked event be delivered once more, at its old place.
func (b *broker) repeat(en *entry) {
	en.repeated = true
	i := slices.Index(en.g.settled, en)
	en.g.settled = slices.Delete(en.g.settled, i, i+1)
	en.g.insert(en)
}

// inHand calls f with what a process has not settled.
func (b *broker) inHand(p *endpoint, f func(*entry)) {
	for _, g := range b.groups {
		for _, en := range g.entries {
			if en.holder == p {
				f(en)
			}
		}
	}
}

// abandon takes everything out of the hand of a process that has died.
func (b *broker) abandon(p *endpoint) {
	b.alive--
	b.inHand(p, (*entry).leave)
}

func (en *entry) tokenOf() event.Token { return event.Token{en.index, en.token} }
