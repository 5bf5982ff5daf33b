package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

func (e *env) seek(topic, group string, to event.Start) error {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
	defer cancel()
	err := as[event.Seeker](e).Seek(ctx, topic, group, to)
	e.story.addf("moves %s on %s to %+v: %s", group, topic, to, outcome(err))
	e.ledger.forget(group)
	return err
}

// moved is a seek that must succeed, once the broker has seen the members leave.
func (e *env) moved(topic, group string, to event.Start) {
	e.t.Helper()
	e.poll("the group "+group+", which has no members, can be moved", func() (bool, string) {
		err := e.seek(topic, group, to)
		return err == nil, fmt.Sprint(err)
	})
}

var seekerCases = []testCase{
	{
		name:    "ToOldest",
		promise: "A group that is moved to the oldest gets the history again.",
		needs:   []need{seeks, history},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 8)
			e.produce(topic, events...)
			m.handleAny(events[:5]...)
			m.close()
			e.moved(topic, group, event.Oldest())
			m = e.join(group, topic)
			m.handleAny(events...)
			m.silent("it has had all again")
		},
	},
	{
		name:    "ToNewest",
		promise: "A group that is moved to the newest is owed nothing of what was before.",
		needs:   []need{seeks},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			other := e.join(e.group("other"), topic)
			m := e.join(group, topic)
			events := keyed("a", 1, 8)
			e.produce(topic, events...)
			m.handleAny(events[:3]...)
			m.close()
			e.moved(topic, group, event.Newest())
			m = e.join(group, topic)
			m.silent("its group was moved to the newest")
			after := keyed("a", 9, 12)
			e.produce(topic, after...)
			m.handleAny(after...)
			other.handleAny(slices.Concat(events, after)...)
		},
	},
	{
		name:    "ToTime",
		promise: "A group that is moved to a time gets what was accepted then or later.",
		needs:   []need{seeks, history},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := keyed("a", 1, 6)
			e.produce(topic, events[:3]...)
			apart := max(e.Silence, 20*time.Millisecond)
			e.pass(apart)
			since := time.Now()
			e.pass(apart)
			e.produce(topic, events[3:]...)
			m.handleAny(events...)
			m.close()
			e.moved(topic, group, event.Since(since))
			m = e.join(group, topic)
			m.handleAny(events[3:]...)
			m.silent("the others were accepted before")
		},
	},
	{
		name:    "NoHistory",
		promise: "Where the channel has no history, a group can't be moved to the oldest: ErrNoHistory.",
		needs:   []need{seeks, noHistory},
		stands:  true,
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.join(group, topic).close()
			e.poll("Seek to the oldest is refused with ErrNoHistory", func() (bool, string) {
				err := e.seek(topic, group, event.Oldest())
				if err == nil {
					e.fatalf("Seek to the oldest was accepted, though the channel has no history")
				}
				return errors.Is(err, event.ErrNoHistory), err.Error()
			})
		},
	},
}
