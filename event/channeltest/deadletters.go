package channeltest

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// letters returns the dead letters of a group. A group that isn't there has none,
// whether the channel says so or that it isn't there.
func (e *env) letters(topic, group string) []event.DeadLetter {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	var out []event.DeadLetter
	for d, err := range as[event.DeadLetters](e).DeadLetters(ctx, topic, group) {
		if errors.Is(err, event.ErrNotFound) {
			return nil
		}
		if err != nil {
			e.fatalf("DeadLetters(%q, %q): %v", topic, group, err)
		}
		if d.Handle == "" {
			e.errorf("the dead letter of %s has no handle: nobody can redrive it", d.Event.ID())
		}
		if d.Topic != topic || d.Group != group {
			e.errorf("DeadLetters(%q, %q) yields one of (%q, %q)", topic, group, d.Topic, d.Group)
		}
		out = append(out, d)
	}
	return out
}

func letterIDs(ls []event.DeadLetter) string {
	ids := make([]string, len(ls))
	for i, l := range ls {
		ids[i] = short(l.Event.ID())
	}
	return "[" + strings.Join(ids, ", ") + "]"
}

// awaitLetters waits until the dead letters of a group are exactly these events, in
// this order.
func (e *env) awaitLetters(topic, group string, events ...event.Event) []event.DeadLetter {
	e.t.Helper()
	var ls []event.DeadLetter
	e.poll(fmt.Sprintf("the dead letters of %s on %s are [%s]", group, topic, idsOfEvents(events)), func() (bool, string) {
		ls = e.letters(topic, group)
		if len(ls) != len(events) {
			return false, letterIDs(ls)
		}
		for i := range ls {
			if !ls[i].Event.Equal(events[i]) {
				return false, letterIDs(ls)
			}
		}
		return true, ""
	})
	return ls
}

// die makes dead letters of the next n deliveries and returns their events.
func (m *member) die(n int) []event.Event {
	m.t.Helper()
	var dead []event.Event
	for range n {
		d := m.one()
		m.begin(d)
		m.mustSettle(event.Dead(d.Token, cause("the handler failed")))
		dead = append(dead, d.Event)
	}
	return dead
}

func cause(text string) event.Cause {
	return event.Cause{Code: "handler", Text: text, Handler: "mailer tested", Attempts: 1, Failures: 1, FirstFailedAt: time.Now()}
}

var deadLetterCases = []testCase{
	{
		name:    "SettlesTheOrigin",
		promise: "A dead delivery is settled: it doesn't come again.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, append(unkeyed("x", 4), keyed("a", 1, 1)...)...)
			m.die(5)
			e.produce(topic, keyed("a", 2, 3)...)
			m.handle(2) // the key goes on
			m.silent("all is dead or acked")
			m.close()
			e.join(group, topic).silent("all was dead or acked")
		},
	},
	{
		name:    "Listed",
		promise: "Dead letters of a topic and group are listed, oldest first, with the event unchanged and the cause beside it.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := event.Attributes{
				ID: "dead-1", Source: source, Type: "tested", Key: "k", Subject: "sübject", Time: time.Unix(1e9, 7),
				ContentType: "application/octet-stream", Data: noise(1000), Schema: "https://example.com/s",
				Extensions: []event.Extension{{Name: "one", Value: "ü"}, {Name: "tenant", Value: "t"}},
			}.Event()
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			before := time.Now()
			c := event.Cause{
				Code: "sold_out", Text: "ünfortunately\nsold out", Handler: "mailer order-placed", Attempts: 7, Failures: 5,
				FirstFailedAt: time.Unix(1_700_000_000, 123_000_000).UTC(), Stack: "goroutine 1 [running]:\n\tmain.go:1",
			}
			m.mustSettle(event.Dead(d.Token, c))
			l := e.awaitLetters(topic, group, ev)[0]
			if diff := difference(ev, l.Event); !l.Event.Equal(ev) {
				e.errorf("the event of the dead letter is changed: %s", diff)
			}
			got := l.Cause
			if !got.FirstFailedAt.Equal(c.FirstFailedAt) {
				e.errorf("the cause's FirstFailedAt was %v, came as %v", c.FirstFailedAt, got.FirstFailedAt)
			}
			if got.FirstFailedAt = c.FirstFailedAt; got != c {
				e.errorf("the cause was %+v, came as %+v", c, got)
			}
			const coarse = 2 * time.Second
			if l.FailedAt.Before(before.Add(-coarse)) || l.FailedAt.After(time.Now().Add(coarse)) {
				e.errorf("FailedAt is %v, it died between %v and %v", l.FailedAt, before, time.Now())
			}
			if l.Position.Valid() && l.Position != d.Position {
				e.errorf("the dead letter has the position %v, the delivery had %v", l.Position, d.Position)
			}
			if l.Raw != nil {
				e.errorf("the dead letter of a good event has %d raw bytes", len(l.Raw))
			}
		},
	},
	{
		name:    "OldestFirst",
		promise: "Dead letters are listed oldest first, and the listing may be left early.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, keyed("a", 1, 12)...)
			dead := m.die(12)
			e.awaitLetters(topic, group, dead...)
			ctx, cancel := e.patient()
			defer cancel()
			n := 0
			for range as[event.DeadLetters](e).DeadLetters(ctx, topic, group) { //nolint:errcheck // awaitLetters looks at the errors
				if n++; n == 3 {
					break
				}
			}
			if n != 3 {
				e.errorf("a listing of 12 that is left after 3 yielded %d", n)
			}
			e.awaitLetters(topic, group, dead...)
		},
	},
	{
		name:    "Bounded",
		promise: "The text and the stack of a cause are cut to their bounds, never within a rune; a long one is no reason to refuse the dead letter.",
		needs:   []need{hasDeadLetters},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			c := cause("x" + strings.Repeat("ü", event.MaxCauseText))
			c.Stack = "xy" + strings.Repeat("🌊", event.MaxCauseStack)
			m.mustSettle(event.Dead(d.Token, c))
			l := e.awaitLetters(topic, group, ev)[0]
			if want := c.Bounded(); l.Cause.Text != want.Text || l.Cause.Stack != want.Stack {
				e.errorf("the cause came with a text of %d bytes and a stack of %d; within the bounds they have %d and %d",
					len(l.Cause.Text), len(l.Cause.Stack), len(want.Text), len(want.Stack))
			}
		},
	},
	{
		name:    "WithoutCause",
		promise: "A dead letter needs no cause.",
		needs:   []need{hasDeadLetters, atOnce(2)},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 2)
			e.produce(topic, events...)
			ds := m.next(2)
			m.mustSettle(event.Dead(ds[0].Token, event.Cause{}), event.Settlement{Token: ds[1].Token, Kind: event.SettleDead})
			e.awaitLetters(topic, group, ds[0].Event, ds[1].Event)
		},
	},
	{
		name:    "OfOneGroup",
		promise: "Dead letters belong to a topic and a group: other groups and topics don't see them.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, other := e.topic("orders"), e.topic("other")
			a := e.join(e.group("a"), topic, other)
			b := e.join(e.group("b"), topic)
			ev := keyed("k", 1, 1)[0]
			e.produce(topic, ev)
			a.die(1)
			e.awaitLetters(topic, a.group, ev)
			e.awaitLetters(topic, b.group)
			e.awaitLetters(other, a.group)
			e.awaitLetters(topic, e.name("nobody"))
			b.handleAll(ev)
		},
	},
	{
		name:    "BeforeTheOrigin",
		promise: "A dead letter is durable before its origin is settled: when the consumer dies in between, the letter is there, and the event may come again; it is never lost.",
		needs:   []need{hasDeadLetters, crashAfterDead},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			d := m.expect(ev)
			m.begin(d)
			e.CrashAfterDead(m.c)
			m.gone.Store(true)
			e.ledger.expectTurbulence()
			ctx, cancel := e.patient()
			defer cancel()
			_ = m.c.Settle(ctx, []event.Settlement{event.Dead(d.Token, cause("no"))}) // whatever it says, its process is dead
			e.ledger.leaving(m)
			e.awaitLetters(topic, group, ev)
			m = e.join(group, topic)
			m.inherits(1)
			e.awaitLetters(topic, group, ev)
		},
	},
	{
		name:    "SurvivesClose",
		promise: "When Close has returned, every dead letter that Settle recorded is durable.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, keyed("a", 1, 5)...)
			dead := m.die(5)
			m.close()
			e.awaitLetters(topic, group, dead...)
			e.join(group, topic).silent("all is dead")
		},
	},
	{
		name:    "Discard",
		promise: "A discarded dead letter is gone for good; to discard or redrive it again returns ErrNotFound.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			e.produce(topic, keyed("a", 1, 3)...)
			events := m.die(3)
			ls := e.awaitLetters(topic, group, events...)
			ctx, cancel := e.patient()
			defer cancel()
			dl := as[event.DeadLetters](e)
			if err := dl.Discard(ctx, ls[1]); err != nil {
				e.fatalf("Discard: %v", err)
			}
			e.awaitLetters(topic, group, events[0], events[2])
			if err := dl.Discard(ctx, ls[1]); !errors.Is(err, event.ErrNotFound) {
				e.errorf("Discard of a discarded dead letter returned %v, not ErrNotFound", err)
			}
			if err := dl.Redrive(ctx, ls[1]); !errors.Is(err, event.ErrNotFound) {
				e.errorf("Redrive of a discarded dead letter returned %v, not ErrNotFound", err)
			}
			m.silent("its event is dead or discarded")
		},
	},
	{
		name:    "Undecodable",
		promise: "Bytes that are no event become a dead letter that keeps them.",
		needs:   []need{hasDeadLetters, putRaw},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			raw := []byte("\x00\xff no event {")
			e.PutRaw(e.t, e.open(), topic, raw)
			d := m.one()
			m.mustSettle(event.Dead(d.Token, event.Cause{Code: "decode", Text: fmt.Sprint(d.Err)}))
			e.poll("the bytes are a dead letter", func() (bool, string) {
				ls := e.letters(topic, group)
				return len(ls) == 1 && bytes.Equal(ls[0].Raw, raw), fmt.Sprintf("%d letters: %+v", len(ls), ls)
			})
			m.silent("the bytes are a dead letter")
		},
	},
}
