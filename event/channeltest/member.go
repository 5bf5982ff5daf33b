//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// member is a consumer whose every step is accounted for.
type member struct {
	*env

	c     event.Consumer
	name  string // for people
	group string
	book  string      // of the ledger: the group, or the member when it is private
	gone  atomic.Bool // closed or crashed
}

// join adds a member to a group.
func (e *env) join(group string, topics ...string) *member {
	e.t.Helper()
	return e.joinAs(event.Subscription{Group: group, Topics: topics})
}

// joinAs adds a member with a subscription of the case's making.
func (e *env) joinAs(s event.Subscription) *member {
	e.t.Helper()
	m, err := e.tryJoin(s)
	if err != nil {
		e.fatalf("Consumer(%+v): %v", s, err)
	}
	return m
}

func (e *env) tryJoin(s event.Subscription) (*member, error) {
	if s.InFlight == 0 {
		s.InFlight = 1000
	}
	if s.Grace == 0 {
		s.Grace = e.Patience / 2
	}
	e.mu.Lock()
	e.joined[s.Group]++
	name := fmt.Sprintf("%s#%d", s.Group, e.joined[s.Group])
	e.mu.Unlock()
	if told := s.OnError; told == nil {
		s.OnError = func(err error) { e.story.addf("%s is told of an error: %v", name, err) }
	}
	ch := e.open()
	var c event.Consumer
	var err error
	e.within(2*e.Patience, "Channel.Consumer", func() { c, err = ch.Consumer(e.ctx, s) })
	if err != nil {
		e.story.addf("%s may not join: %v", name, err)
		return nil, err
	}
	m := &member{env: e, c: c, name: name, group: s.Group, book: s.Group}
	if s.Ephemeral {
		m.book = name
	}
	e.story.addf("%s joins on %v", name, s.Topics)
	e.mu.Lock()
	e.members = append(e.members, m)
	e.mu.Unlock()
	return m, nil
}

// receive is Receive, accounted for. It returns what is new: repetitions that the
// channel may make are acked, and so are the events that only warm a group up.
func (m *member) receive(ctx context.Context, buf []event.Delivery) ([]event.Delivery, error) {
	n, err := m.c.Receive(ctx, buf)
	if err != nil {
		if n != 0 {
			m.errorf("%s: Receive returned %d deliveries and the error %v: an error means that nothing was taken", m.name, n, err)
		}
		return nil, err
	}
	if n < 1 || n > len(buf) {
		m.fatalf("%s: Receive returned %d for a buffer of %d and no error", m.name, n, len(buf))
	}
	fresh := buf[:0:n]
	var repeats []event.Settlement
	for _, d := range buf[:n] {
		m.story.addf("%s gets %s", m.name, describe(d))
		if d.Err != nil {
			fresh = append(fresh, d)
			continue
		}
		wrong, repeated := m.ledger.delivered(m, d)
		if wrong != "" {
			m.fatalf("%s", wrong)
		}
		if repeated || warm(d.Event) {
			repeats = append(repeats, event.Ack(d.Token))
			continue
		}
		fresh = append(fresh, d)
	}
	if len(repeats) > 0 {
		if err := m.settle(repeats...); err != nil {
			m.story.addf("%s acks repetitions in vain: %v", m.name, err)
		}
	}
	return fresh, nil
}

// describe says what a delivery is.
func describe(d event.Delivery) string {
	if d.Err != nil {
		return fmt.Sprintf("%d bytes that are no event (%v) on %s", len(d.Raw), d.Err, d.Topic)
	}
	var b strings.Builder
	b.WriteString(short(d.Event.ID()))
	if k := d.Event.Key(); k != "" {
		fmt.Fprintf(&b, " key %s", short(k))
	}
	fmt.Fprintf(&b, " on %s, attempt %d", d.Topic, d.Attempt)
	if d.Failures != 0 {
		fmt.Fprintf(&b, ", %d failures", d.Failures)
	}
	if d.Position.Valid() {
		fmt.Fprintf(&b, ", at %v", d.Position)
	}
	if d.Redriven {
		b.WriteString(", redriven")
	}
	if d.Replayed {
		b.WriteString(", replayed")
	}
	return b.String()
}

// short cuts what is too long for a line.
func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%s… (%d bytes)", s[:40], len(s))
	}
	return s
}

// next returns the next n deliveries. The case must not need more of a key at once
// than one: channels may keep an event back until its predecessor is settled.
func (m *member) next(n int) []event.Delivery {
	m.t.Helper()
	ctx, cancel := m.patient()
	defer cancel()
	var got []event.Delivery
	for len(got) < n {
		m.stopIfBroken()
		ds, err := m.receive(ctx, make([]event.Delivery, n-len(got)))
		if err != nil {
			m.fatalf("%s waited %v for %d deliveries and got %d (%s): %v", m.name, m.Patience, n, len(got), idsOf(got), err)
		}
		got = append(got, ds...)
	}
	return got
}

// one returns the next delivery.
func (m *member) one() event.Delivery {
	m.t.Helper()
	return m.next(1)[0]
}

// expect is one, and the delivery must be of an event.
func (m *member) expect(ev event.Event) event.Delivery {
	m.t.Helper()
	d := m.one()
	if d.Event.ID() != ev.ID() {
		m.fatalf("%s got %s, the next that it is owed is %s", m.name, d.Event.ID(), ev.ID())
	}
	return d
}

// upTo returns at least one delivery and no more than n: what comes before silence.
func (m *member) upTo(n int) []event.Delivery {
	m.t.Helper()
	got := m.next(1)
	for len(got) < n {
		ds := m.quick(n - len(got))
		if len(ds) == 0 {
			return got
		}
		got = append(got, ds...)
	}
	return got
}

// quick returns what comes before silence, in one Receive.
func (m *member) quick(n int) []event.Delivery {
	m.t.Helper()
	deadline := time.Now().Add(m.Silence)
	for {
		ctx, cancel := context.WithDeadline(m.ctx, deadline)
		ds, err := m.receive(ctx, make([]event.Delivery, n))
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			m.fatalf("%s: Receive: %v; its context ended, so that it had to return the context's error", m.name, err)
		}
		if err != nil || len(ds) > 0 {
			return ds
		}
	}
}

// silent fails when something comes.
func (m *member) silent(why string, args ...any) {
	m.t.Helper()
	if ds := m.quick(10); len(ds) > 0 {
		m.fatalf("%s got %s: %s", m.name, idsOf(ds), fmt.Sprintf(why, args...))
	}
}

// handle begins and acks n deliveries, in their order, and returns them.
func (m *member) handle(n int) []event.Delivery {
	m.t.Helper()
	var got []event.Delivery
	for len(got) < n {
		ds := m.next(1)
		m.begin(ds[0])
		m.ack(ds...)
		got = append(got, ds...)
	}
	return got
}

// handleAll begins and acks the events in exactly this order.
func (m *member) handleAll(events ...event.Event) []event.Delivery {
	m.t.Helper()
	got := m.handle(len(events))
	for i := range got {
		if got[i].Event.ID() != events[i].ID() {
			m.fatalf("%s handled %s, owed was %s", m.name, idsOf(got), idsOfEvents(events))
		}
	}
	return got
}

// handleAny begins and acks the events, in whatever order they come.
func (m *member) handleAny(events ...event.Event) []event.Delivery {
	m.t.Helper()
	got := m.handle(len(events))
	want := map[string]bool{}
	for _, ev := range events {
		want[ev.ID()] = true
	}
	for _, d := range got {
		if !want[d.Event.ID()] {
			m.fatalf("%s handled %s, owed was %s in any order", m.name, idsOf(got), idsOfEvents(events))
		}
		delete(want, d.Event.ID())
	}
	return got
}

// begin begins a delivery that is ours.
func (m *member) begin(d event.Delivery) context.Context {
	m.t.Helper()
	ctx, ok := m.c.Begin(d.Token)
	m.story.addf("%s begins %s: %v", m.name, short(d.Event.ID()), ok)
	if !ok {
		m.fatalf("%s may not begin %s, which was just delivered to it", m.name, d.Event.ID())
	}
	if ctx == nil {
		m.fatalf("%s: Begin of %s returned no context", m.name, d.Event.ID())
	}
	if err := ctx.Err(); err != nil {
		m.fatalf("%s: the context of %s had ended when Begin returned it: %v", m.name, d.Event.ID(), context.Cause(ctx))
	}
	return ctx
}

// hold puts a begun delivery aside.
func (m *member) hold(d event.Delivery, failures int) {
	m.story.addf("%s holds %s, %d failures", m.name, short(d.Event.ID()), failures)
	m.c.Hold(d.Token, failures)
}

// settle is Settle, accounted for.
func (m *member) settle(ss ...event.Settlement) error {
	ctx, cancel := m.patient()
	defer cancel()
	m.ledger.settling(m, ss)
	err := m.c.Settle(ctx, ss)
	var refused *event.SettleError
	partly := errors.As(err, &refused)
	for i, st := range ss {
		why := err
		if partly {
			why = refused.Failed[i]
		}
		if wrong := m.ledger.settled(m, st, fmt.Sprintf("settlement %d", i), why == nil); wrong != "" {
			m.fatalf("%s", wrong)
		}
		m.story.addf("%s settles %x: %v%s, %s", m.name, st.Token, st.Kind, after(st), outcome(why))
	}
	if partly {
		for i := range refused.Failed {
			if i < 0 || i >= len(ss) {
				m.fatalf("%s: Settle of %d refused the index %d", m.name, len(ss), i)
			}
		}
	}
	return err
}

func after(s event.Settlement) string {
	if s.Kind != event.SettleRetry {
		return ""
	}
	return fmt.Sprintf(" after %v with %d failures", s.After, s.Failures)
}

func outcome(err error) string {
	if err == nil {
		return "done"
	}
	return "refused: " + err.Error()
}

// mustSettle is a settle that nothing stands against.
func (m *member) mustSettle(ss ...event.Settlement) {
	m.t.Helper()
	if err := m.settle(ss...); err != nil {
		m.fatalf("%s: Settle of deliveries in hand: %v", m.name, err)
	}
}

func (m *member) ack(ds ...event.Delivery) {
	m.t.Helper()
	ss := make([]event.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = event.Ack(d.Token)
	}
	m.mustSettle(ss...)
}

func (m *member) release(ds ...event.Delivery) {
	m.t.Helper()
	ss := make([]event.Settlement, len(ds))
	for i, d := range ds {
		ss[i] = event.Release(d.Token)
	}
	m.mustSettle(ss...)
}

func (m *member) retry(d event.Delivery, after time.Duration, failures int) {
	m.t.Helper()
	m.mustSettle(event.Retry(d.Token, after, failures))
}

// refusedAsStale settles a delivery that is no longer m's, and fails unless it is
// refused as it must be.
func (m *member) refusedAsStale(s event.Settlement, what string) {
	m.t.Helper()
	err := m.settle(s)
	var refused *event.SettleError
	switch {
	case err == nil:
		m.fatalf("%s: Settle accepted %s; it had to refuse it with ErrLeaseLost", m.name, what)
	case !errors.As(err, &refused):
		m.fatalf("%s: Settle of %s: %v; it had to be a *SettleError that names it", m.name, what, err)
	case !errors.Is(refused.Failed[0], event.ErrLeaseLost):
		m.fatalf("%s: Settle refused %s with %v; it had to be ErrLeaseLost", m.name, what, refused.Failed[0])
	}
}

// beginsNot fails when a delivery that is no longer m's can be begun.
func (m *member) beginsNot(d event.Delivery, what string) {
	m.t.Helper()
	_, ok := m.c.Begin(d.Token)
	m.story.addf("%s begins %s: %v", m.name, short(d.Event.ID()), ok)
	if ok {
		m.fatalf("%s: Begin accepted %s", m.name, what)
	}
}

// close closes the consumer, with nothing to wait for.
func (m *member) close() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.ctx, 3*m.Patience)
	defer cancel()
	m.within(m.Patience, "Consumer.Close of "+m.name+", which had nothing to wait for,", func() { m.closeWith(ctx) })
}

// closeWith closes the consumer.
func (m *member) closeWith(ctx context.Context) {
	m.gone.Store(true)
	m.ledger.leaving(m)
	m.story.addf("%s closes", m.name)
	err := m.c.Close(ctx)
	m.story.addf("%s is closed: %v", m.name, err)
	if err != nil && ctx.Err() == nil {
		m.errorf("%s: Close: %v", m.name, err)
	}
}

// crash kills the consumer.
func (m *member) crash() {
	m.gone.Store(true)
	m.ledger.expectTurbulence()
	m.ledger.leaving(m)
	m.story.addf("%s crashes", m.name)
	m.Crash(m.c)
}

func idsOf(ds []event.Delivery) string {
	if len(ds) == 0 {
		return "nothing"
	}
	ids := make([]string, len(ds))
	for i, d := range ds {
		ids[i] = short(d.Event.ID())
		if d.Err != nil {
			ids[i] = "bytes that are no event"
		}
	}
	return strings.Join(ids, ", ")
}

func idsOfEvents(events []event.Event) string {
	ids := make([]string, len(events))
	for i, ev := range events {
		ids[i] = short(ev.ID())
	}
	return strings.Join(ids, ", ")
}

func sameIDs(ds []event.Delivery, events []event.Event) bool {
	return slices.EqualFunc(ds, events, func(d event.Delivery, ev event.Event) bool { return d.Event.ID() == ev.ID() })
}
