package memory

import (
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// entry is an accepted event on its way to one group.
type entry struct {
	e    event.Event
	at   int64  // when it was accepted, on the channel's clock
	mark uint64 // offset<<2 | event.Mark
}

func (en *entry) offset() int64             { return int64(en.mark >> 2) }
func (en *entry) why() event.Mark           { return event.Mark(en.mark & 3) }
func marked(off int64, m event.Mark) uint64 { return uint64(off)<<2 | uint64(m) }

// spares is how many emptied segments an inbox keeps: a power of two.
const spares = 16

// segmentLen lets a segment fill an allocation of 2 KiB.
const segmentLen = 85

type segment struct {
	next    *segment
	entries [segmentLen]entry
}

// inbox is a queue with one writer at a time (who holds the topic) and one reader
// at a time (who holds the group), joined by the atomic tail alone. It consists of
// segments, so that it shrinks by itself; a few emptied ones are kept for reuse.
type inbox struct {
	tail atomic.Int64 // entries ever published

	last    *segment // the writer's
	lastPos int
	reused  uint8 // spares that the writer has looked at

	_ apart

	first    *segment // the reader's
	firstPos int
	taken    int64
	emptied  uint8 // segments

	_ apart

	spare [spares]atomic.Pointer[segment]
}

func (b *inbox) init() {
	b.first = new(segment)
	b.last = b.first
}

// put writes an entry, which is seen by the reader after publish.
func (b *inbox) put(en entry) {
	if b.lastPos == segmentLen {
		s := b.spare[b.reused%spares].Swap(nil)
		if s == nil {
			s = new(segment)
		} else {
			b.reused++
		}
		b.last.next = s
		b.last, b.lastPos = s, 0
	}
	b.last.entries[b.lastPos] = en
	b.lastPos++
}

func (b *inbox) publish(n int) { b.tail.Add(int64(n)) }

// len returns how many entries wait. For the reader.
func (b *inbox) len() int { return int(b.tail.Load() - b.taken) }

// front returns the first entry. For the reader, when len is above 0.
func (b *inbox) front() *entry {
	if b.firstPos == segmentLen {
		return &b.first.next.entries[0]
	}
	return &b.first.entries[b.firstPos]
}

// take removes the first entry. For the reader, when len is above 0.
func (b *inbox) take() entry {
	if b.firstPos == segmentLen {
		s := b.first
		b.first, b.firstPos = s.next, 0
		s.next = nil
		if b.spare[b.emptied%spares].CompareAndSwap(nil, s) {
			b.emptied++
		}
	}
	place := &b.first.entries[b.firstPos]
	en := *place
	place.e = event.Event{}
	b.firstPos++
	b.taken++
	return en
}

// each calls f for every waiting entry, first to last. For the reader.
func (b *inbox) each(f func(*entry)) {
	s, pos := b.first, b.firstPos
	for range b.len() {
		if pos == segmentLen {
			s, pos = s.next, 0
		}
		f(&s.entries[pos])
		pos++
	}
}
