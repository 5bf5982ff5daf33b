package kafka

import (
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// tenure is the time during which a member owns a partition. The broker doesn't fence
// by partition: what was delivered in one tenure can't be settled in another because
// each has tokens of its own.
type tenure struct {
	c  *consumer
	s  *session
	id uint64

	partition
	member string   // who we were in the group when it began
	main   lane     // of the topic
	again  lane     // of the group's redrive topic
	levels []*level // of the group's delay topic
	lease  event.Lease

	ready    bool // what concerns the partition in the group's own topics has been read
	inTurn   bool
	revoking bool
	ended    bool
	keys     parkedKeys
}

// partition names one.
type partition struct {
	topic string
	n     int32
}

// tenures numbers them in this process: a token is good for one consumer only.
var tenures atomic.Uint64

func (c *consumer) newTenure(s *session, p partition) *tenure {
	t := &tenure{c: c, s: s, id: tenures.Add(1), partition: p}
	t.main = lane{t: t, topic: p.topic, partition: p.n, next: -1}
	t.again = lane{t: t, topic: redriveTopic(p.topic, c.sub.Group), partition: p.n, redrive: true, next: -1}
	if c.sub.Ephemeral { // nothing else concerns it
		t.ready, t.again.next = true, 0
	}
	return t
}

// token names the delivery of a slot.
func (l *lane) token(n uint64) event.Token {
	bit := uint64(0)
	if l.redrive {
		bit = 1
	}
	return event.Token{l.t.id, n<<1 | bit}
}

// find returns the slot that a token names, if it is in hand. The consumer is locked.
func (c *consumer) find(t event.Token) (*lane, uint64, *slot) {
	o := c.tenures[t[0]]
	if o == nil {
		return nil, 0, nil
	}
	l := &o.main
	if t[1]&1 == 1 {
		l = &o.again
	}
	n := t[1] >> 1
	s := l.slot(n)
	if s == nil || s.state != inHand && s.state != begun && s.state != held {
		return nil, 0, nil
	}
	return l, n, s
}

// open reports whether anything may be handed out: not before all is read that says
// which keys are parked, and not while letters are being moved to the redrive topic.
func (t *tenure) open() bool { return t.ready && !t.revoking && t.keys.draining == 0 }

// flows reports whether the events of the topic itself may be handed out: not ahead of
// what is redriven.
func (t *tenure) flows() bool { return t.open() && t.again.next >= t.keys.barrier }

// has reports whether there is something to hand out.
func (t *tenure) has() bool {
	return t.open() && t.again.count[queued] > 0 || t.flows() && t.main.count[queued] > 0
}

// offer lets Receive know that there may be something to hand out. The consumer is
// locked.
func (t *tenure) offer() {
	if !t.inTurn && t.has() {
		t.inTurn = true
		t.c.turn = append(t.c.turn, t)
	}
	if t.inTurn {
		signal(t.c.wake)
	}
}

// take hands out what there is. What is redriven comes first.
func (t *tenure) take(buf []event.Delivery) int {
	if !t.open() {
		return 0
	}
	n := t.again.hand(buf)
	if t.flows() {
		n += t.main.hand(buf[n:])
	}
	return n
}

func (l *lane) hand(buf []event.Delivery) (filled int) {
	for filled < len(buf) {
		n, ok := l.take()
		if !ok {
			break
		}
		l.set(n, inHand)
		buf[filled] = l.delivery(n)
		filled++
	}
	return filled
}

func (l *lane) delivery(n uint64) event.Delivery {
	s := l.at(n)
	d := event.Delivery{
		Event: s.event, Topic: l.t.topic, Position: s.origin, Gap: s.gap, Attempt: 1, Failures: int(s.failures),
		Redriven: s.mark == event.MarkRedriven, Replayed: s.mark == event.MarkReplayed,
		EnqueuedAt: s.rec.Timestamp, Token: l.token(n),
	}
	if l.redrive && !s.event.NotBefore().IsZero() {
		d.EnqueuedAt = acceptedAt(s.rec)
	}
	if s.err != nil {
		d.Err, d.Raw = s.err, s.rec.Value
	}
	return d
}

// acceptedAt returns when an event was accepted, however it was delayed since.
func acceptedAt(r *kgo.Record) time.Time {
	if ms := headerNumber(r, headerAccepted); ms > 0 {
		return time.UnixMilli(ms)
	}
	return r.Timestamp
}

// read makes a slot of a record.
func read(r *kgo.Record, redrive bool) slot {
	s := slot{rec: r, offset: r.Offset, origin: positionOf(r)}
	s.event, s.err = decode(r)
	if redrive {
		s.mark, s.origin = markOf(r)
		s.gap = headerNumber(r, headerGap)
	}
	return s
}
