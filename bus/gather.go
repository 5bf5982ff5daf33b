package bus

import (
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// gathering is where the events of a batch handler come together. The group's mu
// guards it.
type gathering struct {
	max   int
	wait  time.Duration
	first queue // fronts of keys, and events without one
	n     int   // events that the next batches could have: those, and what is behind them
}

// prepareBatches sizes the window for the batch handlers.
func (g *group) prepareBatches() {
	g.gatherings = nil
	for _, h := range g.list {
		if h.opts.batchOf == nil {
			continue
		}
		size := batchSize{defaultBatchMax, defaultBatchWait}
		if h.opts.batch != nil {
			size = *h.opts.batch
		}
		if g.said.inFlight == nil {
			g.limit = max(g.limit, 2*size.max)
		}
		size.max = min(size.max, g.limit)
		g.window = max(g.window, size.max)
		h.gathering = &gathering{max: size.max, wait: size.wait}
		g.gatherings = append(g.gatherings, h.gathering)
	}
}

// wrapBatch builds batchFn as wrap builds fn. Middlewares that can't are a mistake
// that was found before.
func (h *handler) wrapBatch(outer []event.Middleware) {
	fn := recovering(h.opts.batchOf)
	for _, m := range slices.Backward(slices.Concat(outer, h.opts.middleware)) {
		fn = m.(event.BatchMiddleware).WrapBatch(fn) //nolint:forcetypeassert // checked
	}
	h.batchFn = timing(fn, h.opts.timeout)
}

// makeReady lets an item be worked on: by itself, or with others of its handler. mu
// is held.
func (g *group) makeReady(it *item) {
	if !it.gathers() {
		g.ready.push(it)
		signal(g.wake)
		return
	}
	b := it.h.gathering
	it.due = time.Now().Add(b.wait)
	it.taken, it.waits = false, true
	b.first.push(it)
	b.n += following(it)
	switch {
	case b.n >= b.max || b.wait <= 0 && g.idle > 0:
		g.dispatch(b)
	case b.first.len() == 1:
		signal(g.kick) // to be there in time
	}
}

// gathers reports whether an item is run with others.
func (it *item) gathers() bool {
	return it.h != nil && it.h.gathering != nil && it.step == stepRun && it.d.Err == nil
}

// following counts an item and those right behind it that can be in one batch with it.
func following(it *item) int {
	n := 1
	for next := it.behind(); next != nil && next.h == it.h && next.gathers(); next = next.next {
		n++
	}
	return n
}

// behind returns the next of the item's key.
func (it *item) behind() *item {
	if it.bucket == 0 {
		return nil // it is in no line
	}
	return it.next
}

// joinBehind counts an item that was lined up behind a front that waits for its
// batch. mu is held.
func (g *group) joinBehind(it, front *item) {
	if !front.waits || front.h != it.h || !it.gathers() {
		return
	}
	b := it.h.gathering
	if b.n++; b.n >= b.max {
		g.dispatch(b)
	}
}

// dispatch hands what has come together to the workers: full batches, or one with
// what there is. mu is held.
func (g *group) dispatch(b *gathering) {
	for {
		g.ready.push(b.take())
		signal(g.wake)
		b.n = 0
		for i := range b.first.len() {
			b.n += following(b.first.at(i))
		}
		if b.n < b.max {
			return
		}
	}
}

// take makes a batch: its first item leads the others.
func (b *gathering) take() *item {
	members := make([]*item, 0, min(b.max, b.n))
	for len(members) < b.max && b.first.len() > 0 {
		it := b.first.pop()
		it.waits, it.taken = false, true
		members = append(members, it)
		for next := it.behind(); next != nil && len(members) < b.max && next.h == it.h && next.gathers(); next = next.next {
			next.taken = true
			members = append(members, next)
		}
	}
	members[0].batch = members
	return members[0]
}

// gatherDue hands over what has waited long enough, and tells how long until the next
// has; negative when nothing waits. mu is held.
func (g *group) gatherDue() time.Duration {
	wait := time.Duration(-1)
	for _, b := range g.gatherings {
		for b.first.len() > 0 && b.wait > 0 {
			left := time.Until(b.first.at(0).due)
			if left > 0 {
				wait = sooner(wait, left)
				break
			}
			g.dispatch(b)
		}
	}
	return wait
}

// gatherIdle hands over what does not wait for others, now that a worker is free, and
// reports whether there was something. mu is held.
func (g *group) gatherIdle() bool {
	for _, b := range g.gatherings {
		if b.wait <= 0 && b.first.len() > 0 {
			g.dispatch(b)
			return true
		}
	}
	return false
}

// forgetGathered completes what has come together and was not begun: the group
// closes. mu is held.
func (g *group) forgetGathered() {
	for _, b := range g.gatherings {
		for b.first.len() > 0 {
			g.complete(b.first.pop())
		}
		b.n = 0
	}
}

// forgetBatch completes a batch that was not begun: the group closes. mu is held.
func (g *group) forgetBatch(lead *item) {
	members := lead.batch
	var fronts []*item
	for _, it := range members {
		it.taken, it.batch = false, nil
		if it.last != nil || it.d.Event.Key() == "" || g.unordered {
			fronts = append(fronts, it) // the others are behind these
		}
	}
	for _, it := range fronts {
		g.complete(it)
	}
}
