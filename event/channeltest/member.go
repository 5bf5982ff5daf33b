//nolint:contextcheck // a case has a context of its own, and its steps have their patience
package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// member is a consumer whose every step is accounted for.
type member struct {
	*env

	c      event.Consumer
	name   string // for people
	group  string
	topics []string
	book   string      // of the ledger: the group, or the member when it is private
	gone   atomic.Bool // closed or crashed
	twins  twins
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
	m := &member{env: e, name: name, group: s.Group, topics: s.Topics, book: s.Group}
	if s.Ephemeral {
		m.book = name
	}
	if s.OnLost == nil {
		s.OnLost = m.lost
	}
	ch := e.open()
	var c event.Consumer
	var err error
	e.within(2*e.Patience, "Channel.Consumer", func() { c, err = ch.Consumer(e.ctx, s) })
	if err != nil {
		e.story.addf("%s may not join: %v", name, err)
		return nil, err
	}
	m.c = c
	e.story.addf("%s joins on %v", name, s.Topics)
	e.mu.Lock()
	e.members = append(e.members, m)
	e.mu.Unlock()
	return m, nil
}

// lost is told by the engine what was taken away.
func (m *member) lost(tokens []event.Token) {
	m.story.addf("%s is told that %x are lost", m.name, tokens)
	strange := m.ledger.lost(m, tokens)
	if strange == 0 || m.gone.Load() || m.ledger.isTurbulent() {
		return
	}
	m.shaken.Store(true)
	if m.Exact {
		m.errorf("%s is told by OnLost that %d deliveries are no longer its own, though nothing took them away", m.name, strange)
	}
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
	news := buf[:0:n]
	var repeats []event.Settlement
	for _, d := range buf[:n] {
		m.story.addf("%s gets %s", m.name, describe(d))
		if d.Err != nil {
			news = append(news, d)
			continue
		}
		wrong, do := m.ledger.delivered(m, d)
		switch {
		case wrong != "":
			m.fatalf("%s", wrong)
		case do == twin:
			m.twins.add(m.ledger.tokenOf(m, d), d.Token)
		case do == repeat || warm(d.Event):
			repeats = append(repeats, event.Ack(d.Token))
		default:
			news = append(news, d)
		}
	}
	if len(repeats) > 0 {
		if err := m.settle(repeats...); err != nil {
			m.story.addf("%s acks repetitions in vain: %v", m.name, err)
		}
	}
	return news, nil
}

// news is a receive that goes on when all that came were repetitions.
func (m *member) news(ctx context.Context, n int) ([]event.Delivery, error) {
	for {
		ds, err := m.receive(ctx, make([]event.Delivery, n))
		if err != nil || len(ds) > 0 {
			return ds, err
		}
	}
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
			m.fatalf("%s waited %v for %d deliveries and got %d (%s): %v; its group is owed %s", m.name, m.Patience, n, len(got), idsOf(got), err, m.owed())
		}
		got = append(got, ds...)
	}
	return got
}

// owed names what the member's group was not seen to settle.
func (m *member) owed() string {
	var ids []string
	for _, topic := range m.topics {
		ids = append(ids, m.ledger.open(m.book, topic)...)
	}
	return some(ids)
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
	ctx, cancel := context.WithTimeout(m.ctx, m.Silence)
	defer cancel()
	ds, err := m.news(ctx, n)
	if err != nil && !errors.Is(err, context.DeadlineExceeded) {
		m.fatalf("%s: Receive: %v; its context ended, so that it had to return the context's error", m.name, err)
	}
	return ds
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
