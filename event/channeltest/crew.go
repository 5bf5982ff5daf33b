//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// run is one run of a delivery by a crew.
type run struct {
	event.Delivery

	m   *member
	ctx context.Context // of Begin
}

// crew is members that handle what they get, each in a goroutine of its own, until
// they are stopped. What fails is given back together with its successors, in one
// Settle between two Receives, as a bus does it.
type crew struct {
	e      *env
	cancel context.CancelFunc
	wg     sync.WaitGroup
	runs   atomic.Int64
}

// work lets members handle events; a nil handle acks.
func (e *env) work(handle func(r run) event.Settlement, ms ...*member) *crew {
	ctx, cancel := context.WithCancel(e.ctx)
	c := &crew{e: e, cancel: cancel}
	for _, m := range ms {
		c.wg.Go(func() { c.loop(ctx, m, handle) })
	}
	return c
}

// stop waits for the members' goroutines.
func (c *crew) stop() {
	c.cancel()
	c.e.within(2*c.e.Patience, "a member whose context was cancelled (Receive or Settle)", c.wg.Wait)
}

func (c *crew) loop(ctx context.Context, m *member, handle func(r run) event.Settlement) {
	buf := make([]event.Delivery, 16)
	for ctx.Err() == nil && !c.e.broken.Load() {
		ds, err := m.receive(ctx, buf)
		if err != nil {
			if ctx.Err() == nil && !m.gone.Load() {
				m.errorf("%s: Receive: %v", m.name, err)
			}
			return
		}
		c.settle(m, c.handle(m, ds, handle))
	}
}

// handle runs a batch and returns how to settle it.
func (c *crew) handle(m *member, ds []event.Delivery, handle func(r run) event.Settlement) []event.Settlement {
	var ss []event.Settlement
	failed, parked := map[string]bool{}, map[string]bool{}
	for _, d := range ds {
		key := d.Event.Key()
		if key != "" && parked[key] {
			continue // taken away with the Park
		}
		if key != "" && failed[key] {
			ss = append(ss, event.Release(d.Token))
			continue
		}
		ctx, ok := m.tryBegin(d.Token)
		if !ok {
			m.story.addf("%s may not begin %s", m.name, short(d.Event.ID()))
			if m.Exact && !m.gone.Load() && !m.ledger.isTurbulent() {
				m.errorf("%s may not begin %s, though nothing took it away", m.name, d.Event.ID())
			}
			continue
		}
		c.runs.Add(1)
		s := event.Ack(d.Token)
		if handle != nil {
			s = handle(run{Delivery: d, m: m, ctx: ctx})
		}
		switch {
		case keeps(s.Kind):
			failed[key] = true
		case s.Kind == event.SettlePark:
			parked[key] = true
		}
		ss = append(ss, s)
	}
	return ss
}

func (c *crew) settle(m *member, ss []event.Settlement) {
	if len(ss) == 0 {
		return
	}
	err := m.settle(ss...)
	if err == nil || m.gone.Load() || m.ledger.isTurbulent() {
		return
	}
	var refused *event.SettleError
	if errors.As(err, &refused) && !m.Exact {
		return // taken away: it comes again
	}
	m.errorf("%s: Settle of deliveries in hand: %v", m.name, err)
}

func (l *ledger) isTurbulent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turbulent
}

// awaitSettled waits until a group has settled all that it is owed on a topic.
func (e *env) awaitSettled(d time.Duration, group, topic string) {
	e.t.Helper()
	e.await(d, func() bool { return e.ledger.done(group, topic) }, func() string {
		return "group " + group + " has settled all that it is owed on " + topic + "; it lacks " + some(e.ledger.open(group, topic))
	})
}

// workOff lets members handle all that their group is owed on a topic.
func (e *env) workOff(topic string, handle func(r run) event.Settlement, ms ...*member) {
	e.t.Helper()
	c := e.work(handle, ms...)
	e.awaitSettled(e.Patience, ms[0].group, topic)
	c.stop()
}

// together adds n members to a group and returns when each of them has got
// something: from then on nobody waits for a share of the work, and no rebalance
// is under way. Their topic must be empty.
func (e *env) together(n int, group, topic string) []*member {
	e.t.Helper()
	ms := make([]*member, n)
	for i := range ms {
		ms[i] = e.join(group, topic)
	}
	if n == 1 {
		return ms
	}
	e.story.addf("warming up %s", group)
	turbulent := e.ledger.setTurbulent(true)
	ctx, cancel := e.patient()
	defer cancel()
	var missing atomic.Int64
	missing.Store(int64(n))
	var wg sync.WaitGroup
	for _, m := range ms {
		wg.Go(func() {
			if m.warmUp(ctx) {
				missing.Add(-1)
			}
		})
	}
	all := e.async(wg.Wait)
	for i := 1; missing.Load() > 0 && ctx.Err() == nil; i++ {
		e.stopIfBroken()
		e.produce(topic, numbered(warmPrefix+group, i).WithKey(numbered("warm", i).ID()))
		pause := time.NewTimer(min(e.Silence, 20*time.Millisecond))
		select {
		case <-all:
		case <-pause.C:
		}
		pause.Stop()
	}
	if missing.Load() > 0 {
		e.fatalf("after %v, %d of %d members of %s have got nothing", e.Patience, missing.Load(), n, group)
	}
	c := e.work(nil, ms...)
	e.awaitSettled(e.Patience, group, topic)
	c.stop()
	e.ledger.setTurbulent(turbulent)
	e.story.addf("%s is warm", group)
	return ms
}

// warmUp receives until something came, and settles it.
func (m *member) warmUp(ctx context.Context) bool {
	buf := make([]event.Delivery, 1)
	n, err := m.c.Receive(ctx, buf)
	if err != nil || n == 0 {
		return false
	}
	_, _ = m.ledger.delivered(m, buf[0])
	if _, ok := m.c.Begin(buf[0].Token); ok {
		_ = m.settle(event.Ack(buf[0].Token)) // if it isn't accepted it comes again
	}
	return true
}

func (l *ledger) setTurbulent(on bool) (before bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before, l.turbulent = l.turbulent, on
	return before
}

// some names a few ids.
func some(ids []string) string {
	if len(ids) == 0 {
		return "nothing"
	}
	out := ""
	for i, id := range ids {
		if i == 8 {
			return out + " …"
		}
		if i > 0 {
			out += ", "
		}
		out += short(id)
	}
	return out
}
