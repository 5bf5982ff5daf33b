package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// state is where a delivery is.
type state uint8

const (
	queued  state = iota // here, and nobody has it
	delayed              // here, until its NotBefore
	inHand               // received, not begun
	begun                // runs
	held                 // waits in hand, for its retry
	gone                 // taken from the hand: its token is stale, whoever owns the partition next gets it
	leaving              // becomes a dead letter behind a parked key, or goes to the redrive topic
	settled              // done with
	states
)

// slot is a record that a member has read and not settled.
type slot struct {
	rec      *kgo.Record
	event    event.Event
	err      error // the bytes are no event
	origin   event.Position
	letter   *letterWrite // that is on its way
	kept     *kept        // what goes out with its ack
	part     *part        // in the transaction that acks it
	offset   int64
	gap      int64 // offsets right before origin of which nothing is to come
	failures int32
	state    state
	mark     event.Mark
	late     bool // it was delayed: its place is among those that came before it was due
}

// lane is what a member has of a partition: the records that are not settled, in
// order and by number. Numbers have no gaps, offsets may: transactions and compaction
// leave some.
type lane struct {
	t         *tenure
	topic     string
	partition int32
	redrive   bool

	slots       []slot // a ring; its size is a power of two
	first, last uint64 // numbers of those in it: from first up to before last
	deliver     uint64 // the next to hand out
	due         []dueAt
	next        int64 // offset behind the last record that was seen
	passed      int64 // offset behind the last event that the owner got: up to the next one is a gap, with what was settled before
	count       [states]int

	ahead    []span // settled by an owner before us, above what was committed
	failures map[int64]int32

	committed int64 // what the broker has
	trimmed   int64 // up to where it was removed

	paused bool // by us: too much is open
	dirty  bool // something to commit

	exact int64 // offset behind the last that a transaction settled: commits must tell of all below
}

// span is offsets from one up to before another.
type span struct{ from, to int64 }

// most is how many records of a partition a member has open at once, from the oldest
// that is not settled on; below resume it reads on.
const (
	most   = 16 << 10
	resume = most / 2
)

// begin sets where the lane begins.
func (l *lane) begin(at int64, p progress) {
	l.next = at
	l.ahead, l.failures = p.settled, p.failures
	if n := len(p.settled); n > 0 {
		l.exact = p.settled[n-1].to
	}
}

// slot returns a slot by its number, or nil when it is not open.
func (l *lane) slot(n uint64) *slot {
	if n < l.first || n >= l.last {
		return nil
	}
	return l.at(n)
}

func (l *lane) at(n uint64) *slot { return &l.slots[n&uint64(len(l.slots)-1)] }

func (l *lane) open() int { return int(l.last - l.first) }

// saw notes that the records up to an offset were seen, and reports whether this one
// is new.
func (l *lane) saw(offset int64) bool {
	if offset < l.next {
		return false
	}
	l.next = offset + 1
	l.dirty = true
	if !l.wasSettled(offset) {
		return true
	}
	if l.open() > 0 { // or the base says it
		l.push(slot{offset: offset, state: settled})
	}
	return false
}

// wasSettled reports whether an owner before us settled a record.
func (l *lane) wasSettled(offset int64) bool {
	for len(l.ahead) > 0 && l.ahead[0].to <= offset {
		l.ahead = l.ahead[1:]
	}
	return len(l.ahead) > 0 && l.ahead[0].from <= offset
}

// push opens a slot at the end and returns its number.
func (l *lane) push(s slot) uint64 {
	if l.open() == len(l.slots) {
		l.grow()
	}
	n := l.last
	l.last++
	if f, failed := l.failures[s.offset]; failed {
		s.failures = f
		delete(l.failures, s.offset)
	}
	*l.at(n) = s
	l.tally(s.state, 1)
	return n
}

func (l *lane) grow() {
	bigger := make([]slot, max(2*len(l.slots), 64))
	for n := l.first; n < l.last; n++ {
		bigger[n&uint64(len(bigger)-1)] = *l.at(n)
	}
	l.slots = bigger
}

// set changes the state of a slot, and closes what is settled at the front.
func (l *lane) set(n uint64, to state) {
	s := l.at(n)
	l.tally(s.state, -1)
	s.state = to
	l.tally(to, 1)
	if to == gone || to == leaving || to == settled {
		l.t.c.dropKept(s)
	}
	if to != settled {
		return
	}
	l.dirty = true
	s.rec, s.event, s.err, s.letter = nil, event.Event{}, nil, nil
	for l.first < l.last && l.at(l.first).state == settled {
		l.tally(settled, -1)
		l.first++
	}
	l.deliver = max(l.deliver, l.first)
}

func (l *lane) tally(s state, by int) {
	l.count[s] += by
	l.t.c.count[s] += by
	if s == queued && by < 0 && l.t.c.count[s] == readAhead/2-1 {
		signal(l.t.c.more) // also when nobody received them: they go behind a parked key
	}
}

// dueAt is a delayed event that is due: it comes behind all that was read by then.
type dueAt struct{ n, behind uint64 }

// cameDue gives a delayed event its place.
func (l *lane) cameDue(n uint64) {
	l.set(n, queued)
	l.at(n).late = true
	l.due = append(l.due, dueAt{n, l.last})
}

// take returns the number of the next to hand out.
func (l *lane) take() (n uint64, ok bool) {
	for {
		for len(l.due) > 0 && l.due[0].behind <= l.deliver {
			n, l.due = l.due[0].n, l.due[1:]
			if s := l.slot(n); s != nil && s.state == queued {
				return n, true
			}
		}
		if l.deliver >= l.last {
			return 0, false
		}
		n = l.deliver
		l.deliver++
		if s := l.at(n); s.state == queued && !s.late {
			return n, true
		}
	}
}

// base is the offset below which all is settled: what is committed. A transaction
// counts what it acks itself.
func (l *lane) base(x *transaction) int64 {
	for n := l.first; n < l.last; n++ {
		if s := l.at(n); !s.settledWith(x) {
			return s.offset
		}
	}
	return l.next
}

func (s *slot) settledWith(x *transaction) bool {
	return s.state == settled || x != nil && s.part != nil && s.part.x == x && s.part.err == nil
}

// inHandOf counts what is in hand: handed out and not settled.
func (l *lane) inHandOf() int { return l.count[inHand] + l.count[begun] + l.count[held] }

// each calls f with every open slot, in order.
func (l *lane) each(f func(n uint64, s *slot)) {
	for n := l.first; n < l.last; n++ {
		f(n, l.at(n))
	}
}

// progress returns what the next owner should know above the base. What was seen and
// is not open is settled: by us, by an owner before us, or it is no event.
func (l *lane) progress(x *transaction) progress {
	p := progress{end: l.next}
	done := l.base(x) // all up to here was looked at
	l.each(func(_ uint64, s *slot) {
		if s.offset < done || s.settledWith(x) {
			return
		}
		if s.offset > done {
			p.settled = append(p.settled, span{done, s.offset})
		}
		done = s.offset + 1
		if s.failures > 0 {
			p.fail(s.offset, s.failures)
		}
		if s.state == delayed {
			p.delayed++
		}
	})
	if l.next > done {
		p.settled = append(p.settled, span{done, l.next})
	}
	for _, s := range l.ahead { // not reached yet
		if s.to > l.next {
			p.settled = append(p.settled, span{max(s.from, l.next), s.to})
		}
	}
	for offset, n := range l.failures {
		if offset < l.next { // it never came: below the base it can't be told, nor what is told with it
			delete(l.failures, offset)
			continue
		}
		p.fail(offset, n)
	}
	slices.SortFunc(p.settled, func(a, b span) int { return int(a.from - b.from) })
	return p
}
