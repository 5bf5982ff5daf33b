package bus

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// fetchLoop receives deliveries while there is room in the window, and gives held
// keys back between two Receives, where the channel can take them: while a
// Receive runs, more of such a key could be on its way. It returns what the caller is to
// work on, who isn't the fetcher any more then; or nil when the group closes.
func (g *group) fetchLoop() *item {
	buf := g.received
	for {
		room, open := g.waitRoom()
		if !open {
			g.giveBack(true)
			return nil
		}
		if room == 0 {
			g.giveBack(false)
			continue
		}
		n, err := g.receiveSome(buf[:room])
		switch {
		case err == nil:
			g.accept(buf[:n], n == room)
			if it := g.leaveFetching(n); it != nil {
				return it
			}
		case errors.Is(err, event.ErrClosed):
			g.waitClosing()
		case g.ctx.Err() != nil:
			return nil
		case !errors.Is(err, context.Canceled): // paused or closing
			g.onError(err)
			g.pauseFetch()
		}
	}
}

// waitRoom waits until the window has room and returns how much; 0 means that keys
// should be given back first. open is false when the group closes.
func (g *group) waitRoom() (room int, open bool) {
	for {
		g.mu.Lock()
		switch {
		case g.closing:
			g.mu.Unlock()
			return 0, false
		case g.paused:
		case g.shouldGiveBack():
			g.mu.Unlock()
			return 0, true
		default:
			if room = g.room(); room > 0 {
				g.mu.Unlock()
				return room, true
			}
			if g.widen() || g.gatherNoMore() {
				g.mu.Unlock()
				continue
			}
		}
		g.waiting = true
		stuck := g.stuck()
		g.mu.Unlock()
		if stuck {
			g.stall(StallWindow, nil)
		}
		<-g.fetch
	}
}

// stuck reports whether all in hand waits for its time and nobody was told why. mu
// is held.
func (g *group) stuck() bool {
	return g.stalled == "" && !g.paused && !g.closing && g.held.Len() > 0 && g.settling == 0 && g.standsStill()
}

// widen doubles a window that is full of items that wait. mu is held.
func (g *group) widen() bool {
	if g.window >= g.limit || g.idle == 0 || g.ready.len() > 0 {
		return false
	}
	g.window = min(2*g.window, g.limit)
	return true
}

// receiveSome receives, unless the group is paused or closes, which end a Receive that runs.
func (g *group) receiveSome(buf []event.Delivery) (int, error) {
	g.mu.Lock()
	if g.closing || g.paused {
		g.mu.Unlock()
		return 0, context.Canceled
	}
	if g.receives == nil || g.receives.Err() != nil {
		g.receives, g.receive = context.WithCancel(g.ctx) // for all until one is ended
	}
	ctx := g.receives
	g.mu.Unlock()
	return g.consumer.Receive(ctx, buf)
}

// waitClosing waits after the engine said that the consumer is closed, which is
// either our own doing or the end of the channel.
func (g *group) waitClosing() {
	g.mu.Lock()
	closing := g.closing
	if !closing {
		g.receiving = problem{err: event.ErrClosed}
	}
	g.mu.Unlock()
	if !closing {
		<-g.fetch
	}
}

// pauseFetch keeps the fetcher from trying again at once after an error.
func (g *group) pauseFetch() {
	timer := time.NewTimer(brief.Max)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-g.fetch:
	}
}

// accept takes deliveries in hand, out of the buffer, which others may use then. full
// tells that the Receive filled its buffer: then the window grows, when workers ran out of
// work since the last.
func (g *group) accept(ds []event.Delivery, full bool) {
	g.b.hooks.delivered(g.name, ds)
	g.mu.Lock()
	defer g.mu.Unlock()
	defer clear(ds)
	if full && g.starved {
		g.window = min(2*g.window, g.limit)
	}
	g.starved = false
	if g.closing { // they go back with the consumer
		return
	}
	for i := range ds {
		d := &ds[i]
		it := g.take(d)
		it.h = g.handlerFor(d)
		it.failures = d.Failures
		if g.kept != nil {
			it.failures = max(it.failures, g.kept.take(d)) // a channel may keep some
		}
		if front := g.lineUp(it); front == it {
			g.queueUp(it)
		} else if front.aside > 0 && front.heapIndex > 0 {
			front.aside++
			g.aside++
		} else if front.tail != nil {
			g.joinBehind(it, front)
		}
	}
	g.receiving = problem{}
}

// leaveFetching lets the fetcher work on the one delivery that it has received, in the place
// of a worker who has nothing to do, and becomes the fetcher: that saves waiting for a worker
// to wake. It returns nil where the workers are to do it.
func (g *group) leaveFetching(n int) *item {
	if n != 1 {
		signal(g.wake)
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	defer signal(g.wake)
	if g.idle == 0 || g.ready.len() != 1 {
		return nil
	}
	g.idle--
	g.vacant = true
	return g.ready.pop()
}

// lineUp puts an item behind others of its key and returns the front: itself, if
// there are none. mu is held.
func (g *group) lineUp(it *item) *item {
	if g.unordered {
		return it
	}
	return g.keys.add(it)
}

// canGiveBack reports whether the channel takes deliveries back until a time.
func (g *group) canGiveBack() bool { return g.gives.GivesBack && g.gives.MaxRetry != 0 }

// shouldGiveBack reports whether keys that wait for retries are to be given back, to
// make room for others. mu is held.
func (g *group) shouldGiveBack() bool {
	return g.crowded() && g.canGiveBack() && g.blockedRuns() > 0
}

// crowded reports whether ¾ of the window waits for retries. mu is held.
func (g *group) crowded() bool {
	if (g.inHand-g.aside)*4 < g.limit*3 || g.held.Len() == 0 {
		return false
	}
	return g.blocked()*4 >= g.limit*3
}

// blocked counts the items that are held or wait behind a held one, without those
// aside. mu is held.
func (g *group) blocked() int {
	n := -g.aside
	for _, it := range g.held {
		n += line(it)
	}
	return n
}

// blockedRuns counts those that could be given back. mu is held.
func (g *group) blockedRuns() int {
	n := 0
	for _, it := range g.held {
		if it.step == stepRun && it.aside == 0 && !owesBehind(it) {
			n++
		}
	}
	return n
}

// line counts an item and those behind it.
func line(it *item) int {
	n := 1
	if it.bucket != 0 {
		for behind := it.next; behind != nil; behind = behind.next {
			n++
		}
	}
	return n
}

// giveBack returns whole keys to the channel, latest due first, until half of the
// window is free of them; all of them when the group closes. What waits to send
// what its handler published is kept: its handler would run again.
func (g *group) giveBack(all bool) {
	if !g.gives.GivesBack {
		return
	}
	fronts, back := g.pickKeys(all)
	if len(back) == 0 {
		return
	}
	err := g.consumer.Settle(g.ctx, back)
	recorded := err == nil || refusals(err) != nil
	if !recorded && !all { // they stay in hand; at the end they go back with the consumer
		g.onError(err)
		g.mu.Lock()
		for _, it := range fronts {
			g.putHeld(it)
		}
		g.mu.Unlock()
		g.pauseFetch()
		return
	}
	if recorded && len(g.b.hooks.settle) > 0 {
		g.tellSettled(lines(fronts), refusals(err))
	}
	g.mu.Lock()
	for _, it := range fronts {
		for it != nil {
			next := g.keys.advance(it)
			g.release(it)
			it = next
		}
	}
	g.mu.Unlock()
}

// lines returns items, each with those behind it.
func lines(fronts []*item) []*item {
	var all []*item
	for _, it := range fronts {
		for ; it != nil; it = it.next {
			all = append(all, it)
		}
	}
	return all
}

// pickKeys takes fronts out of the heap and makes the settlements that give them
// and their lines back.
func (g *group) pickKeys(all bool) (fronts []*item, back []event.Settlement) {
	g.mu.Lock()
	defer g.mu.Unlock()
	blocked := g.blocked()
	latest := slices.Clone(g.held)
	slices.SortFunc(latest, func(a, b *item) int { return b.due.Compare(a.due) })
	for _, it := range latest {
		if !all && blocked*2 <= g.limit {
			break
		}
		if it.step != stepRun || !all && (it.aside > 0 || owesBehind(it)) {
			continue
		}
		g.unhold(it)
		fronts = append(fronts, it)
		blocked -= line(it)
		it.settlement = g.retryOf(it)
		back = append(back, it.settlement)
		for behind := it.next; behind != nil; behind = behind.next {
			behind.settlement = event.Release(behind.d.Token)
			back = append(back, behind.settlement)
		}
	}
	return fronts, back
}

// owesBehind reports whether one behind a front has functions to run before it comes
// again.
func owesBehind(front *item) bool {
	for it := front.next; it != nil; it = it.next {
		if it.then != actNone {
			return true
		}
	}
	return false
}

// retryOf returns the settlement that gives a held item back until it is due.
func (g *group) retryOf(it *item) event.Settlement {
	if g.kept != nil {
		g.kept.put(&it.d, it.failures)
	}
	after := max(0, time.Until(it.due))
	if longest := g.gives.MaxRetry; longest >= 0 {
		after = min(after, longest)
	}
	return event.Retry(it.d.Token, after, it.failures)
}

// refusals returns the settlements that err says were refused, or nil.
func refusals(err error) *event.SettleError {
	some, _ := errors.AsType[*event.SettleError](err)
	return some
}
