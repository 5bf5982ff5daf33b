package bus

import (
	"fmt"
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

// prepareBatches sizes the window for the batch handlers: one batch can come together
// while another runs.
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

// checkBatches returns what is wrong with the sizes of the batches.
func (g *group) checkBatches() []error {
	var errs []error
	for _, h := range g.list {
		if size, most := h.opts.batch, g.said.inFlight; size != nil && most != nil && *most < size.max {
			errs = append(errs, fmt.Errorf("handler %q: Batch(%d) is more than InFlight(%d)", h.name, size.max, *most))
		}
	}
	return errs
}

// wrapBatch builds batchFn as wrap builds fn. Middlewares that can't are a mistake
// that was found before.
func (h *handler) wrapBatch(outer []event.Middleware) {
	fn := recovering(h.opts.batchOf(h.g))
	for _, m := range slices.Backward(slices.Concat(outer, h.opts.middleware, h.g.b.cfg.Inner)) {
		fn = m.(event.BatchMiddleware).WrapBatch(fn) //nolint:forcetypeassert // checked
	}
	h.batchFn = timing(fn, h.opts.timeout)
}

// makeReady lets an item be worked on: by itself, or with others of its handler. mu
// is held.
func (g *group) makeReady(it *item) {
	g.queueUp(it)
	signal(g.wake)
}

// queueUp is makeReady without waking a worker. mu is held.
func (g *group) queueUp(it *item) {
	if len(g.gatherings) > 0 && it.gathers() {
		g.gather(it)
		return
	}
	g.ready.push(it)
}

// gathers reports whether an item is run with others.
func (it *item) gathers() bool {
	return it.h != nil && it.h.gathering != nil && it.step == stepRun && it.d.Err == nil
}

// gather lets an item wait for others of its handler. mu is held.
func (g *group) gather(it *item) {
	b := it.h.gathering
	it.due = time.Now().Add(b.wait)
	it.taken = false
	b.first.push(it)
	b.count(it)
	switch {
	case b.n >= b.max:
		g.dispatch(b)
	case b.wait <= 0: // a worker that is free takes what there is by then
		signal(g.wake)
	case b.first.len() == 1: // to be there in time
		signal(g.kick)
	}
}

// count adds an item that waits, and those right behind it that can go with it, and
// remembers the last of them.
func (b *gathering) count(it *item) {
	it.tail = it
	b.n++
	for n := 1; n < b.max && it.tail.joinable(it.h); n++ {
		it.tail = it.tail.next
		b.n++
	}
}

// joinable reports whether the next of the item's key can be in a batch with it.
func (it *item) joinable(h *handler) bool {
	next := it.next
	return next != nil && next.h == h && !next.taken && next.gathers()
}

// joinBehind counts an item that was lined up behind a front that waits for its
// batch. mu is held.
func (g *group) joinBehind(it, front *item) {
	if front.tail.next != it || !front.tail.joinable(front.h) {
		return
	}
	front.tail = it
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
			b.count(b.first.at(i))
		}
		if b.n < b.max {
			return
		}
	}
}

// members are the items of a batch, in the order in which the handler gets them: those
// of a key together.
type members []*item

// next returns those of the next batch: its first item leads the others.
func (b *gathering) next() members {
	all := make(members, 0, min(b.max, b.n))
	for i := 0; i < b.first.len() && len(all) < b.max; i++ {
		it := b.first.at(i)
		all = append(all, it)
		for len(all) < b.max && it.joinable(all[0].h) {
			it = it.next
			all = append(all, it)
		}
	}
	return all
}

// take makes a batch.
func (b *gathering) take() *item {
	all := b.next()
	for _, it := range all {
		if it.tail != nil { // a front
			b.first.pop()
			it.tail = nil
		}
		it.taken = true
	}
	all[0].batch = &all
	return all[0]
}

// gatherDue hands over what has waited long enough, and tells how long until the next
// has; negative when nothing waits. mu is held.
func (g *group) gatherDue() time.Duration {
	wait := time.Duration(-1)
	for _, b := range g.gatherings {
		for b.first.len() > 0 && b.wait > 0 {
			left := time.Until(b.first.at(0).due)
			if g.hurries {
				left -= max(0, b.wait-defaultBatchWait)
			}
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
		if b.waitsForWorker() {
			g.dispatch(b)
			return true
		}
	}
	return false
}

// waitsForWorker reports whether there is something that waits for no others, but for a
// worker that is free.
func (b *gathering) waitsForWorker() bool { return b.wait <= 0 && b.first.len() > 0 }

// gatherNoMore hands over what waits for others that can't come: the window is full,
// and nothing is on its way that would make room. It reports whether there was
// something. mu is held.
func (g *group) gatherNoMore() bool {
	if !g.standsStill() {
		return false
	}
	some := false
	for _, b := range g.gatherings {
		if b.first.len() > 0 {
			g.dispatch(b)
			some = true
		}
	}
	return some
}

// standsStill reports whether the window is full and all in it waits for its time. mu
// is held.
func (g *group) standsStill() bool {
	return g.room() <= 0 && g.ready.len() == 0 && g.idle == g.workers && len(g.pending) == 0
}

// gathered reports whether something waits for others of its handler. mu is held.
func (g *group) gathered() bool {
	for _, b := range g.gatherings {
		if b.first.len() > 0 {
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
			it := b.first.pop()
			it.tail = nil
			g.complete(it)
		}
		b.n = 0
	}
}

// forgetBatch completes a batch that was not begun: the group closes. mu is held.
func (g *group) forgetBatch(lead *item) {
	var fronts []*item
	for _, it := range *lead.batch {
		it.taken = false
		if !g.isBehind(it) {
			fronts = append(fronts, it) // the others are behind these
		}
	}
	lead.batch = nil
	for _, it := range fronts {
		g.complete(it)
	}
}
