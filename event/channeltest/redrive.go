package channeltest

import (
	"errors"
	"slices"

	"github.com/leat-go/leat/event"
)

// redrive redrives a dead letter. What comes again is on the ledger's list.
func (e *env) redrive(l event.DeadLetter, repaired ...event.Event) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	e.ledger.producing(l.Topic, l.Group, false, repaired)
	e.ledger.unpark(l.Topic, l.Group, l.Event.Key())
	err := as[event.DeadLetters](e).Redrive(ctx, l, repaired...)
	e.story.addf("redrives %s for %s: %s", l.Event.ID(), l.Group, outcome(err))
	if err != nil {
		e.fatalf("Redrive of %s: %v", l.Event.ID(), err)
	}
}

func (e *env) redriveKey(topic, group, key string, want int) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	e.ledger.unpark(topic, group, key)
	n, err := as[event.DeadLetters](e).RedriveKey(ctx, topic, group, key)
	e.story.addf("redrives the key %s for %s: %d, %s", key, group, n, outcome(err))
	if err != nil || n != want {
		e.fatalf("RedriveKey(%q, %q, %q) returned %d and %v; there were %d", topic, group, key, n, err, want)
	}
}

// redriven fails unless a delivery is of a redriven event.
func (e *env) redriven(d event.Delivery, ev event.Event) {
	e.t.Helper()
	switch {
	case d.Event.ID() != ev.ID():
		e.fatalf("%s came, the redriven %s is owed", d.Event.ID(), ev.ID())
	case !d.Redriven:
		e.errorf("the redriven %s is not marked as redriven", ev.ID())
	case d.Replayed:
		e.errorf("the redriven %s is marked as replayed", ev.ID())
	case d.Failures != 0:
		e.errorf("the redriven %s comes with %d failures; they begin at zero", ev.ID(), d.Failures)
	}
}

var redriveCases = []testCase{
	{
		name:    "OneGroup",
		promise: "A redrive sends a dead letter again, unchanged, marked as redriven, with its failures at zero, to its group only; then it is no dead letter any more.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic := e.topic("orders")
			a := e.join(e.group("a"), topic)
			b := e.join(e.group("b"), topic)
			ev := keyed("k", 1, 1)[0]
			e.produce(topic, ev)
			b.handleAll(ev)
			a.die(1)
			l := e.awaitLetters(topic, a.group, ev)[0]
			e.redrive(l)
			d := a.one()
			e.redriven(d, ev)
			a.begin(d)
			a.ack(d)
			e.awaitLetters(topic, a.group)
			a.silent("all is acked")
			b.silent("the redrive is another group's")
			ctx, cancel := e.patient()
			defer cancel()
			if err := as[event.DeadLetters](e).Redrive(ctx, l); !errors.Is(err, event.ErrNotFound) {
				e.errorf("Redrive of a dead letter that was redriven returned %v, not ErrNotFound", err)
			}
		},
	},
	{
		name:    "DiesAgain",
		promise: "A redriven event can fail, be given back and die again.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			m.die(1)
			for range 3 {
				e.redrive(e.awaitLetters(topic, group, ev)[0])
				d := m.one()
				e.redriven(d, ev)
				m.begin(d)
				if e.Guarantees.GivesBack {
					m.retry(d, 0, 1)
					d = m.one()
					if !d.Redriven {
						e.errorf("the redriven %s is not marked as redriven any more after a retry", ev.ID())
					}
					m.begin(d)
				}
				m.mustSettle(event.Dead(d.Token, cause("again")))
			}
			l := e.awaitLetters(topic, group, ev)[0]
			if l.Cause.Text != "again" {
				e.errorf("the dead letter has the cause %q of an earlier death", l.Cause.Text)
			}
		},
	},
	{
		name:    "Repaired",
		promise: "A repaired event goes in place of the dead one: it has an id of its own and the id of the failed one as its cause.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			m.die(1)
			fixed := ev.WithID("a-1-repaired").WithExtension(event.ExtCausationID, ev.ID()).WithData("application/json", []byte(`{"repaired":true}`))
			e.redrive(e.awaitLetters(topic, group, ev)[0], fixed)
			d := m.one() // its attributes are compared for every delivery
			e.redriven(d, fixed)
			m.begin(d)
			m.ack(d)
			e.awaitLetters(topic, group)
			m.silent("the failed event was repaired")
		},
	},
	{
		name:    "RepairedNamesItsCause",
		promise: "A repaired event that doesn't say what caused it gets the id of the failed one as its cause.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			m.die(1)
			l := e.awaitLetters(topic, group, ev)[0]
			fixed := ev.WithID("a-1-repaired").WithData("application/json", []byte(`{"repaired":true}`))
			ctx, cancel := e.patient()
			defer cancel()
			e.ledger.producing(topic, group, false, []event.Event{fixed.WithExtension(event.ExtCausationID, ev.ID())})
			if err := as[event.DeadLetters](e).Redrive(ctx, l, fixed); err != nil {
				e.fatalf("Redrive with a repaired event: %v", err)
			}
			d := m.one()
			e.redriven(d, fixed)
			m.ack(d)
		},
	},
	{
		name:    "WhileNobodyIsThere",
		promise: "A redrive reaches the group also when it has no member.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			ev := keyed("a", 1, 1)[0]
			e.produce(topic, ev)
			m.die(1)
			m.close()
			e.redrive(e.awaitLetters(topic, group, ev)[0])
			m = e.join(group, topic)
			d := m.one()
			e.redriven(d, ev)
			m.ack(d)
		},
	},
	{
		name:    "Key",
		promise: "RedriveKey sends all dead letters of a key again, in order, and no other, and tells how many there were.",
		needs:   []need{hasDeadLetters},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 5), keyed("b", 1, 2)
			e.produce(topic, append(slices.Clone(a), b...)...)
			m.die(7)
			e.poll("7 dead letters", func() (bool, string) {
				ls := e.letters(topic, group)
				return len(ls) == 7, letterIDs(ls)
			})
			e.redriveKey(topic, group, "a", 5)
			m.comesRedriven(a...)
			e.poll("the dead letters of the other key are left", func() (bool, string) {
				ls := e.letters(topic, group)
				return len(ls) == 2 && ls[0].Event.Key() == "b" && ls[1].Event.Key() == "b", letterIDs(ls)
			})
			e.redriveKey(topic, group, "a", 0)
			e.redriveKey(topic, group, "nobody's", 0)
			m.silent("the other key was not redriven")
		},
	},
	{
		name:    "KeyBeforeNewer",
		promise: "RedriveKey sends the dead letters of a key ahead of what is newer, where the channel can park keys.",
		needs:   []need{hasDeadLetters, order, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 6)
			e.produce(topic, events[:3]...)
			dead := m.die(3)
			e.awaitLetters(topic, group, dead...)
			m.close()
			e.produce(topic, events[3:]...)
			e.redriveKey(topic, group, "a", 3)
			m = e.join(group, topic)
			m.comesRedriven(events[:3]...)
			m.handleAll(events[3:]...)
			m.silent("all is acked")
		},
	},
}

// comesRedriven handles events that were redriven, in order where there is one.
func (m *member) comesRedriven(events ...event.Event) {
	m.t.Helper()
	got := m.handle(len(events))
	for _, d := range got {
		if !d.Redriven {
			m.errorf("%s of the redriven key is not marked as redriven", d.Event.ID())
		}
		if !slices.ContainsFunc(events, func(ev event.Event) bool { return ev.ID() == d.Event.ID() }) {
			m.fatalf("%s came, the redriven %s are owed", d.Event.ID(), idsOfEvents(events))
		}
	}
	if m.Guarantees.OrderPerKey && !sameIDs(got, events) {
		m.fatalf("%s got %s of the redriven key; their order is %s", m.name, idsOf(got), idsOfEvents(events))
	}
}
