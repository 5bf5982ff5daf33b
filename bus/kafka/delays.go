package kafka

import (
	"container/heap"
	"slices"
	"time"
)

// delays wakes a consumer when the next of its delayed events is due: one timer for
// all. The consumer is locked wherever its methods are called, but for fire.
type delays struct {
	fire  func()
	timer *time.Timer
	heap  dueHeap
}

// dueSlot is a delayed event.
type dueSlot struct {
	at time.Time
	l  *lane
	n  uint64
}

//nolint:recvcheck // as container/heap wants it
type dueHeap []dueSlot

func (h dueHeap) Len() int           { return len(h) }
func (h dueHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h dueHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueHeap) Push(x any)        { *h = append(*h, x.(dueSlot)) }
func (h *dueHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}

func (d *delays) add(at time.Time, l *lane, n uint64) {
	heap.Push(&d.heap, dueSlot{at, l, n})
	if d.heap[0].n == n && d.heap[0].l == l {
		d.arm()
	}
}

// forget drops what a tenure has delayed.
func (d *delays) forget(t *tenure) {
	before := len(d.heap)
	d.heap = slices.DeleteFunc(d.heap, func(s dueSlot) bool { return s.l.t == t })
	if len(d.heap) < before {
		heap.Init(&d.heap)
	}
}

// arm sets the timer to the first.
func (d *delays) arm() {
	d.stop()
	if len(d.heap) > 0 {
		d.timer = time.AfterFunc(time.Until(d.heap[0].at), d.fire)
	}
}

func (d *delays) stop() {
	if d.timer != nil {
		d.timer.Stop()
	}
}

// due removes the next one that is due.
func (d *delays) next(now time.Time) (dueSlot, bool) {
	if len(d.heap) == 0 || d.heap[0].at.After(now) {
		return dueSlot{}, false
	}
	return heap.Pop(&d.heap).(dueSlot), true
}

// comeDue hands on what is due.
func (c *consumer) comeDue() {
	var moves []move
	c.mu.Lock()
	for !c.closing {
		d, ok := c.delays.next(time.Now())
		if !ok {
			c.delays.arm()
			break
		}
		s := d.l.slot(d.n)
		if s == nil || s.state != delayed || d.l.t.ended || d.l.t.revoking {
			continue
		}
		d.l.dirty = true
		if d.l.t.ready && d.l.t.keys.parked(s.event.Key()) {
			if d.l.t.keys.holds(s.origin) {
				d.l.set(d.n, settled)
				continue
			}
			moves = append(moves, d.l.leave(d.n))
			continue
		}
		d.l.cameDue(d.n)
		d.l.t.offer()
	}
	s := c.s
	c.mu.Unlock()
	s.soil()
	s.moveAll(moves)
}
