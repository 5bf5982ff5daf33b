package channeltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-go/leat/event"
)

// discard discards dead letters.
func (e *env) discard(ls ...event.DeadLetter) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	for _, l := range ls {
		err := as[event.DeadLetters](e).Discard(ctx, l)
		e.story.addf("discards %s of %s: %s", l.Event.ID(), l.Group, outcome(err))
		if err != nil {
			e.fatalf("Discard of %s: %v", l.Event.ID(), err)
		}
		e.ledger.discarded(l)
	}
}

// notAlone fails unless a dead letter that is parked behind another can't be redriven.
func (e *env) notAlone(l event.DeadLetter, front event.Event) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	err := as[event.DeadLetters](e).Redrive(ctx, l)
	e.story.addf("redrives %s, which is parked behind %s: %s", l.Event.ID(), front.ID(), outcome(err))
	if err == nil || errors.Is(err, event.ErrNotFound) {
		e.fatalf("Redrive of %s, which is parked behind %s, returned %v: it must be refused, or it would overtake", l.Event.ID(), front.ID(), err)
	}
}

var parkRedriveCases = []testCase{
	{
		name:    "Redriven",
		promise: "Redriving a parked key delivers all that is parked, in order and ahead of anything newer; then the key goes on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 9)
			e.produce(topic, a[0])
			m.park(a[0])
			e.produce(topic, a[1:3]...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[:3]...)
			e.redriveKey(topic, group, "a", 3)
			e.produce(topic, a[3:6]...)
			m.comesRedriven(a[:3]...)
			m.handleAll(a[3:6]...)
			e.produce(topic, a[6:]...)
			m.handleAll(a[6:]...)
			m.silent("all is acked")
			e.parked(topic, group, "a")
		},
	},
	{
		name:    "NewerWait",
		promise: "What is produced while a parked key is redriven comes behind all that was parked.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 60)
			e.produce(topic, a[0])
			m.park(a[0])
			e.produce(topic, a[1:20]...)
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[:20]...)
			produced := e.async(func() {
				for _, ev := range a[20:] {
					e.produce(topic, ev)
				}
			})
			ctx, cancel := e.patient()
			defer cancel()
			e.ledger.unpark(topic, group, "a")
			if n, err := as[event.DeadLetters](e).RedriveKey(ctx, topic, group, "a"); err != nil || n < 20 || n > 60 {
				e.fatalf("RedriveKey returned %d and %v; there were at least 20", n, err)
			}
			last := true
			for _, d := range m.handleAll(a...) {
				if d.Redriven && !last {
					e.errorf("%s is marked as redriven, and one before it is newer and is not", d.Event.ID())
				}
				last = d.Redriven
			}
			e.wait(e.Patience, produced, "all is produced")
			m.silent("all is acked")
		},
	},
	{
		name:    "FailsAgain",
		promise: "When a redriven event is parked again, what was behind it is parked behind it again, in order, and so is what is newer.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 7), keyed("b", 1, 1)
			e.produce(topic, a[:5]...)
			m.park(a[0])
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[:5]...)
			e.redriveKey(topic, group, "a", 5)
			m.comesRedriven(a[0])
			d := m.one()
			e.redriven(d, a[1])
			e.produce(topic, a[5])
			m.begin(d)
			m.parks(d)
			m.silent("the key is parked again")
			ls := e.parked(topic, group, "a", a[1:6]...)
			if text := ls[4].Cause.Text; !strings.Contains(text, a[1].ID()) {
				e.errorf("%s is parked behind %s and has the cause %q", a[5].ID(), a[1].ID(), text)
			}
			e.produce(topic, b[0])
			m.handleAll(b...)
			e.redriveKey(topic, group, "a", 5)
			e.produce(topic, a[6])
			m.comesRedriven(a[1:6]...)
			m.handleAll(a[6])
		},
	},
	{
		name:    "KnownToNextOwner",
		promise: "That a key is parked is durable and known to the next owner before it receives.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 5), keyed("b", 1, 3)
			e.produce(topic, a[0])
			m.park(a[0])
			m.close()
			e.produce(topic, slices.Concat(a[1:], b)...)
			m = e.join(group, topic)
			m.handleAll(b...)
			m.silent("the key was parked by the member before")
			e.parked(topic, group, "a", a...)
			m.close()
			e.redriveKey(topic, group, "a", 5)
			m = e.join(group, topic)
			m.comesRedriven(a...)
		},
	},
	{
		name:    "SurvivesCrash",
		promise: "A key stays parked when the member that parked it crashes, and what that had in hand is parked behind.",
		needs:   []need{hasDeadLetters, parks, crash},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a, b := keyed("a", 1, 6), keyed("b", 1, 3)
			e.produce(topic, a[:3]...)
			d := m.upTo(3)[0]
			m.begin(d)
			m.parks(d)
			m.crash()
			e.produce(topic, slices.Concat(a[3:], b)...)
			m = e.join(group, topic)
			m.handleAll(b...)
			m.silent("the key was parked by a member that crashed")
			e.parked(topic, group, "a", a...)
			e.redriveKey(topic, group, "a", 6)
			m.comesRedriven(a...)
		},
	},
	{
		name:    "Front",
		promise: "Redriving the event that a key is parked behind redrives all that is behind it, in order, and the key goes on; another of them is refused.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 6)
			e.produce(topic, a[:4]...)
			m.park(a[0])
			m.silent("the key is parked")
			ls := e.parked(topic, group, "a", a[:4]...)
			e.notAlone(ls[1], a[0])
			e.notAlone(ls[3], a[0])
			m.silent("the key is parked")
			e.parked(topic, group, "a", a[:4]...)
			e.redrive(ls[0])
			e.produce(topic, a[4:]...)
			m.comesRedriven(a[:4]...)
			m.handleAll(a[4:]...)
			e.parked(topic, group, "a")
		},
	},
	{
		name:    "Repaired",
		promise: "A repaired event goes in place of the one that a key is parked behind, and all that is behind follows it.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 4)
			e.produce(topic, a[:3]...)
			m.park(a[0])
			m.silent("the key is parked")
			ls := e.parked(topic, group, "a", a[:3]...)
			fixed := a[0].WithID("a-1-repaired").WithExtension(event.ExtCausationID, a[0].ID())
			e.redrive(ls[0], fixed)
			m.comesRedriven(fixed, a[1], a[2])
			e.produce(topic, a[3])
			m.handleAll(a[3])
			e.parked(topic, group, "a")
		},
	},
	{
		name:    "Discarded",
		promise: "When the event that a key is parked behind is discarded, the next is in front; when the last is, the key goes on.",
		needs:   []need{hasDeadLetters, parks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			a := keyed("a", 1, 6)
			e.produce(topic, a[:4]...)
			m.park(a[0])
			m.silent("the key is parked")
			ls := e.parked(topic, group, "a", a[:4]...)
			e.discard(ls[0])
			e.produce(topic, a[4])
			m.silent("the one in front was discarded, and the next is there now")
			e.discard(ls[2])
			ls = e.parked(topic, group, "a", a[1], a[3], a[4])
			e.notAlone(ls[1], a[1])
			e.discard(ls[1], ls[0], ls[2])
			e.ledger.unpark(topic, group, "a")
			e.produce(topic, a[5])
			m.handleAll(a[5])
			e.parked(topic, group, "a")
		},
	},
}

var parkManyCases = []testCase{
	{
		name:    "SeveralMembers",
		promise: "Several members park the keys that they have, each with all that is behind it and no other; redriven, all is handled in order.",
		needs:   []need{hasDeadLetters, parks, three},
		run: func(e *env) {
			const keys, each = 7, 12
			topic, group := e.topic("orders"), e.group("mailer")
			ms := e.together(3, group, topic)
			key := func(k int) string { return fmt.Sprintf("key%d", k) }
			c := e.work(func(r run) event.Settlement {
				if strings.HasSuffix(r.Event.ID(), "-4") && !r.Redriven {
					return event.Park(r.Token, cause("parked"))
				}
				return event.Ack(r.Token)
			}, ms...)
			var of [keys][]event.Event
			for i := range each {
				var round []event.Event
				for k := range keys {
					of[k] = append(of[k], keyed(key(k), i+1, i+1)...)
					round = append(round, of[k][i])
				}
				e.produce(topic, round...)
			}
			for k := range keys {
				e.parked(topic, group, key(k), of[k][3:]...)
			}
			for k := range keys {
				e.redriveKey(topic, group, key(k), each-3)
			}
			e.awaitSettled(e.Patience, group, topic)
			c.stop()
			e.awaitLetters(topic, group)
		},
	},
}
