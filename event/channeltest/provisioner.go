package channeltest

import (
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

func (e *env) ensureGroup(group string, from event.Start, topics ...string) {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	if err := as[event.Provisioner](e).EnsureGroup(ctx, group, from, topics...); err != nil {
		e.fatalf("EnsureGroup(%q, %+v, %q): %v", group, from, topics, err)
	}
	e.story.addf("ensured %s on %v", group, topics)
}

func (e *env) removeGroup(group string, topics ...string) error {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	err := as[event.Provisioner](e).RemoveGroup(ctx, group, topics...)
	e.story.addf("removes %s from %v: %s", group, topics, outcome(err))
	return err
}

// removed removes a group. Brokers may need a while to see that its members left.
func (e *env) removed(group string, topics ...string) {
	e.t.Helper()
	e.poll("the group "+group+", which has no members, can be removed", func() (bool, string) {
		err := e.removeGroup(group, topics...)
		return err == nil, fmt.Sprint(err)
	})
	e.ledger.forget(group)
}

var provisionerCases = []testCase{
	{
		name:    "EnsureTopicTwice",
		promise: "EnsureTopic of a topic that exists changes nothing.",
		needs:   []need{canProvision},
		run: func(e *env) {
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			e.prepare(topic)
			m.handleAny(events...)
		},
	},
	{
		name:    "EnsureGroup",
		promise: "A group that EnsureGroup made exists from then on: what is accepted before its first member comes is owed to it.",
		needs:   []need{canProvision},
		run: func(e *env) {
			topic, other, group := e.topic("orders"), e.topic("other"), e.group("mailer")
			e.ensureGroup(group, event.Start{}, topic, other)
			a, b := unkeyed("x", 5), unkeyed("y", 5)
			e.produce(topic, a...)
			e.produce(other, b...)
			e.ensureGroup(group, event.Newest(), topic, other) // it exists: nothing is lost
			m := e.join(group, topic, other)
			m.handleAny(slices.Concat(a, b)...)
			m.silent("all is acked")
			e.ensureGroup(group, event.Start{}, topic)
			m.silent("the group existed and had settled all")
		},
	},
	{
		name:    "EnsureGroupNewest",
		promise: "EnsureGroup starts a new group where it is told to.",
		needs:   []need{canProvision},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("late")
			e.earlier(topic, 5)
			e.ensureGroup(group, event.Newest(), topic)
			events := unkeyed("x", 5)
			e.produce(topic, events...)
			m := e.join(group, topic) // the default start is for groups that don't exist
			m.handleAny(events...)
			m.silent("its group was made at the newest")
		},
	},
	{
		name:    "RemoveGroup",
		promise: "A removed group is gone with all that it is owed and its dead letters; a new one of its name starts anew.",
		needs:   []need{canProvision},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			other := e.join(e.group("other"), topic)
			m := e.join(group, topic)
			events := keyed("a", 1, 6)
			e.produce(topic, events...)
			m.die(1)
			m.handle(2)
			m.close()
			e.removed(group, topic)
			if e.Capabilities&DeadLetters != 0 {
				e.awaitLetters(topic, group)
			}
			m = e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, From: event.Newest()})
			m.silent("its group was removed")
			after := keyed("a", 7, 9)
			e.produce(topic, after...)
			m.handleAny(after...)
			other.handleAny(append(events, after...)...)
		},
	},
	{
		name:    "RemoveGroupWithMembers",
		promise: "RemoveGroup refuses a group that has members, and harms nothing.",
		needs:   []need{canProvision, atOnce(2)},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			m := e.join(group, topic)
			events := unkeyed("x", 6)
			e.produce(topic, events...)
			ds := m.next(2)
			if err := e.removeGroup(group, topic); err == nil {
				e.fatalf("RemoveGroup removed a group with a member")
			}
			m.ack(ds...)
			m.handle(4)
		},
	},
	{
		name:    "RemoveFromOneTopic",
		promise: "RemoveGroup removes a group from the topics that it is told, and from no other.",
		needs:   []need{canProvision},
		run: func(e *env) {
			topic, other, group := e.topic("orders"), e.topic("other"), e.group("mailer")
			e.ensureGroup(group, event.Start{}, topic, other)
			a, b := unkeyed("x", 3), unkeyed("y", 3)
			e.produce(topic, a...)
			e.produce(other, b...)
			e.removed(group, topic)
			m := e.join(group, other)
			m.handleAny(b...)
			m.close()
			m = e.joinAs(event.Subscription{Group: group, Topics: []string{topic, other}, From: event.Newest()})
			m.silent("its group was removed from the one topic, and has settled all of the other")
		},
	},
}
