package channeltest

import (
	"fmt"
	"sync"

	"github.com/leat-go/leat/event"
)

// ledger knows what was produced and where each of it is, for each group. Every
// delivery of every case goes through it, so that the promises that hold always
// are tested always: what comes was produced, is unchanged, stands on this topic
// and is this group's; of a key, nothing overtakes; a member's keys go to nobody
// else; and on an exact channel nothing comes twice.
type ledger struct {
	order  bool // kept per key
	exact  bool
	faulty bool
	first  bool // the first attempt is the number 1

	mu        sync.Mutex
	turbulent bool // consumers crash, come and go: repetitions are no surprise
	entries   map[entryKey]*entry
	streams   map[streamKey][]*entry
	topics    map[string]*tally
	groups    map[string]*book
	changed   chan struct{}

	holdings map[tokenKey]*holding // of a channel with faults
	doubts   []conflict
}

type entryKey struct{ topic, id string }

type streamKey struct{ topic, key string }

// entry is an event that was given to Produce.
type entry struct {
	event   event.Event
	topic   string
	index   int    // in its stream; -1: no order is promised
	group   string // the only group that it is for; "": all
	refused bool   // not accepted
	maybe   bool   // perhaps accepted
}

// tally counts the entries of a topic.
type tally struct {
	all    int
	except int // refused, perhaps accepted, or for one group alone
}

// book is what a group has seen.
type book struct {
	seen      map[*entry]*seen
	closed    map[string]int // settled entries by topic
	tokens    map[tokenKey]*seen
	settled   int               // entries ever
	repeats   []string          // deliveries, for no reason, of what was settled or in hand
	base      map[streamKey]int // first index that the group is owed, as far as is known
	low       map[streamKey]int // all before it is settled
	parked    map[streamKey]bool
	wasParked map[streamKey]bool // at any time
	early     int                // deliveries that were lost before their member had entered them: who has them next enters them first
}

// tokenKey tells the deliveries in hand apart: a token is its consumer's.
type tokenKey struct {
	m *member
	t event.Token
}

// seen is an entry as a group sees it.
type seen struct {
	*entry

	state    state
	token    event.Token
	holder   *member
	position event.Position // of the copy that is accounted for
	hands    []*holding     // all that ever were, on a channel with faults
	times    int            // deliveries
	strays   int            // of these, to others while it was in holder's hand
	acks     int
}

type state uint8

const (
	unseen   state = iota
	inHand         // of holder
	back           // given back
	settling       // on its way to be settled
	settled
)

func newLedger(s *spec) *ledger {
	return &ledger{
		order: s.Guarantees.OrderPerKey, exact: s.Exact, faulty: s.Faulty,
		first:   s.Guarantees.CountsAttempts && !s.Guarantees.CountsGiveBacks,
		entries: map[entryKey]*entry{}, streams: map[streamKey][]*entry{},
		holdings: map[tokenKey]*holding{},
		topics:   map[string]*tally{}, groups: map[string]*book{}, changed: make(chan struct{}),
	}
}

// changes returns a channel that is closed when something changes.
func (l *ledger) changes() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.changed
}

// poke lets those look again who await something.
func (l *ledger) poke() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change()
}

func (l *ledger) change() {
	close(l.changed)
	l.changed = make(chan struct{})
}

// expectTurbulence tells that from now on consumers don't just work.
func (l *ledger) expectTurbulence() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turbulent = true
}

// producing enters events before they are produced.
func (l *ledger) producing(topic, group string, ordered bool, events []event.Event) []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*entry, len(events))
	n := l.topics[topic]
	if n == nil {
		n = &tally{}
		l.topics[topic] = n
	}
	for i, ev := range events {
		x := &entry{event: ev, topic: topic, index: -1, group: group}
		if ordered && ev.Key() != "" && ev.NotBefore().IsZero() {
			s := streamKey{topic, ev.Key()}
			x.index = len(l.streams[s])
			l.streams[s] = append(l.streams[s], x)
		}
		n.all++
		if group != "" {
			n.except++
		}
		l.entries[entryKey{topic, ev.ID()}] = x
		out[i] = x
	}
	return out
}

// mark notes the outcome of a Produce.
func (l *ledger) mark(x *entry, refused, maybe bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if x.group == "" && (refused || maybe) {
		l.topics[x.topic].except++
	}
	x.refused, x.maybe = refused, maybe
	l.change()
}

func (l *ledger) book(group string) *book {
	b := l.groups[group]
	if b == nil {
		b = &book{seen: map[*entry]*seen{}, closed: map[string]int{}, tokens: map[tokenKey]*seen{}, base: map[streamKey]int{}, low: map[streamKey]int{}, parked: map[streamKey]bool{}, wasParked: map[streamKey]bool{}}
		l.groups[group] = b
	}
	return b
}

// forget starts a group anew: it was moved or removed.
func (l *ledger) forget(group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.groups, group)
}

// fate is what is to be done with a delivery.
type fate uint8

const (
	fresh  fate = iota // it is the case's
	repeat             // its event is settled, or in another's hand: it may be acked
	twin               // its event is in the same hand: it is settled with it
)

// delivered enters a delivery. It returns what it breaks, and what is to be done
// with it.
func (l *ledger) delivered(m *member, d event.Delivery) (wrong string, do fate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.change()
	id := d.Event.ID()
	x := l.entries[entryKey{d.Topic, id}]
	switch {
	case x == nil:
		return fmt.Sprintf("%s got %s on topic %q, where nobody produced it", m.name, id, d.Topic), fresh
	case x.refused:
		return fmt.Sprintf("%s got %s, which Produce had refused", m.name, id), fresh
	case x.group != "" && x.group != m.group:
		return fmt.Sprintf("%s got %s, which was produced to the group %q alone", m.name, id, x.group), fresh
	case !x.event.Equal(d.Event):
		return fmt.Sprintf("%s got %s changed: %s", m.name, id, difference(x.event, d.Event)), fresh
	}
	b := l.book(m.book)
	s := b.seen[x]
	if s == nil {
		s = &seen{entry: x}
		b.seen[x] = s
	}
	s.times++
	if m.gone.Load() { // it was on its way when its consumer went
		if s.state == unseen || s.state == back {
			b.move(s, back)
			l.has(b, s, m, d.Token)
		}
		return "", fresh
	}
	if d.Redriven || d.Replayed {
		b.move(s, inHand)
		l.has(b, s, m, d.Token)
		return "", fresh
	}
	if l.faulty && l.copy(m, s, d) {
		if s.state == settled {
			return "", repeat
		}
		return "", fresh // of no account: the first copy is accounted for
	}
	s.position = d.Position
	if l.strict() && !l.faulty && b.parked[streamKey{x.topic, x.event.Key()}] {
		return fmt.Sprintf("%s got %s of key %q, which is parked: it belongs behind the failed one", m.name, id, x.event.Key()), fresh
	}
	if wrong, do = l.again(m, s, d); do != fresh {
		return wrong, do
	}
	if wrong == "" && l.order && l.strict() && x.index >= 0 {
		wrong = l.overtakes(b, x, m, d.Token)
	}
	b.move(s, inHand)
	l.has(b, s, m, d.Token)
	return wrong, fresh
}

// strict reports whether there is no reason for repetitions.
func (l *ledger) strict() bool { return l.exact || l.faulty || !l.turbulent }

// again says what is wrong with a delivery of an event that was delivered before.
func (l *ledger) again(m *member, s *seen, d event.Delivery) (wrong string, do fate) {
	id := d.Event.ID()
	switch {
	case l.faulty:
		return "", l.faultyAgain(m, s, d)
	case s.state == settled && l.exact:
		return fmt.Sprintf("%s got %s again after it was settled", m.name, id), fresh
	case s.state == settled:
		l.repeated(m, id)
		return "", repeat
	case s.state == inHand && s.holder == m && l.exact:
		return fmt.Sprintf("%s got %s twice: the first delivery is in its hand, not settled", m.name, id), fresh
	case s.state == inHand && s.holder == m:
		l.repeated(m, id)
		return "", twin
	case s.state == inHand && l.strict() && (l.exact || l.order):
		return fmt.Sprintf("%s got %s, which is in the hand of %s, not settled", m.name, id, s.holder.name), fresh
	case s.state == inHand && l.strict():
		s.strays++
		return "", repeat
	case s.state == unseen && l.first && l.strict() && d.Attempt != 1 && l.book(m.book).early == 0:
		return fmt.Sprintf("%s got %s for the first time as attempt %d", m.name, id, d.Attempt), fresh
	}
	return "", fresh
}

// repeated notes a delivery that there was no reason for.
func (l *ledger) repeated(m *member, id string) {
	if l.strict() {
		b := l.book(m.book)
		b.repeats = append(b.repeats, id)
	}
}

// tooManyRepeats says which group got what it had settled, or had in hand, again:
// without a reason and more often than a broker's rare doubles explain.
func (l *ledger) tooManyRepeats() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for group, b := range l.groups {
		if n := len(b.repeats); n > max(2, b.settled/10) {
			return fmt.Sprintf("%s got %d deliveries, of %d events, of what it had settled or had in hand: %s", group, n, b.settled, some(b.repeats))
		}
	}
	return ""
}

// has enters that an entry is in a member's hand under a token. On a channel with
// faults another member may have it since, and have entered it before.
func (l *ledger) has(b *book, s *seen, m *member, t event.Token) {
	if l.faulty {
		s.hands = append(s.hands, l.holding(m, t))
	} else {
		delete(b.tokens, tokenKey{s.holder, s.token})
	}
	s.token, s.holder = t, m
	b.tokens[tokenKey{m, t}] = s
}

// overtakes says which earlier event of its key x comes before.
func (l *ledger) overtakes(b *book, x *entry, m *member, t event.Token) string {
	sk := streamKey{x.topic, x.event.Key()}
	stream := l.streams[sk]
	base, begun := b.base[sk]
	switch {
	case !begun: // before it the group may have been owed nothing
		base = x.index
		b.base[sk], b.low[sk] = base, base
	case x.index < base:
		return fmt.Sprintf("%s got %s of key %q after %s, which it comes before", m.name, x.event.ID(), x.event.Key(), stream[base].event.ID())
	}
	low := b.low[sk]
	for low < len(stream) && b.done(stream[low]) {
		low++
	}
	b.low[sk] = low
	for i := low; i < x.index; i++ {
		p := stream[i]
		if b.done(p) {
			continue
		}
		s := b.seen[p]
		switch {
		case s == nil:
			return fmt.Sprintf("%s got %s of key %q before %s, which is owed first", m.name, x.event.ID(), x.event.Key(), p.event.ID())
		case s.state == back:
			wrong := fmt.Sprintf("%s got %s of key %q before %s, which was given back and is owed first", m.name, x.event.ID(), x.event.Key(), p.event.ID())
			if !l.faulty {
				return wrong
			}
			if !s.elsewhere() {
				l.doubts = append(l.doubts, conflict{a: l.holding(m, t), text: wrong})
			}
		case s.holder != m:
			wrong := fmt.Sprintf("%s got %s of key %q while %s of that key is in the hand of %s, not settled", m.name, x.event.ID(), x.event.Key(), p.event.ID(), s.holder.name)
			if !l.faulty {
				return wrong
			}
			l.conflicts(m, t, s, wrong)
		}
	}
	return ""
}

// done reports whether nothing needs to wait for x any more.
func (b *book) done(x *entry) bool {
	if x.refused {
		return true
	}
	s := b.seen[x]
	if s == nil {
		return x.maybe
	}
	return s.state == settled || s.state == settling
}

// move changes the state of an entry in a group.
func (b *book) move(s *seen, to state) {
	if s.state == settled {
		b.closed[s.topic]--
	}
	if to == settled {
		b.closed[s.topic]++
		b.settled++
	}
	s.state = to
}
