package channeltest

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
		needs:   []need{canProvision},
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

func (e *env) census(topic string) []event.GroupInfo {
	e.t.Helper()
	ctx, cancel := e.patient()
	defer cancel()
	groups, err := as[event.Census](e).Groups(ctx, topic)
	if err != nil {
		e.fatalf("Groups(%q): %v", topic, err)
	}
	if !slices.IsSortedFunc(groups, func(a, b event.GroupInfo) int { return strings.Compare(a.Group, b.Group) }) {
		e.errorf("Groups(%q) are not sorted by name: %s", topic, describeGroups(groups))
	}
	return groups
}

func describeGroups(groups []event.GroupInfo) string {
	out := make([]string, len(groups))
	for i, g := range groups {
		out[i] = fmt.Sprintf("%s with %d members", g.Group, g.Members)
	}
	return "[" + strings.Join(out, ", ") + "]"
}

// awaitCensus waits until a topic has exactly these groups.
func (e *env) awaitCensus(topic string, want ...event.GroupInfo) {
	e.t.Helper()
	slices.SortFunc(want, func(a, b event.GroupInfo) int { return strings.Compare(a.Group, b.Group) })
	e.poll("the groups of "+topic+" are "+describeGroups(want), func() (bool, string) {
		got := e.census(topic)
		return slices.Equal(got, want), describeGroups(got)
	})
}

var censusCases = []testCase{
	{
		name:    "GroupsAndMembers",
		promise: "Groups tells all groups of a topic, sorted, with their members, those without members too, and no other topic's.",
		needs:   []need{knowsGroups},
		run: func(e *env) {
			topic, other := e.topic("orders"), e.topic("other")
			b, a := e.group("bbb"), e.group("aaa")
			e.awaitCensus(topic)
			mb := e.join(b, topic)
			ma := e.join(a, topic, other)
			e.awaitCensus(topic, event.GroupInfo{Group: a, Members: 1}, event.GroupInfo{Group: b, Members: 1})
			e.awaitCensus(other, event.GroupInfo{Group: a, Members: 1})
			mb.close()
			e.awaitCensus(topic, event.GroupInfo{Group: a, Members: 1}, event.GroupInfo{Group: b})
			ma.close()
			e.awaitCensus(topic, event.GroupInfo{Group: a}, event.GroupInfo{Group: b})
		},
	},
	{
		name:    "SeveralMembers",
		promise: "Groups counts the members of a group.",
		needs:   []need{knowsGroups, two},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			a, b := e.join(group, topic), e.join(group, topic)
			e.awaitCensus(topic, event.GroupInfo{Group: group, Members: 2})
			a.close()
			e.awaitCensus(topic, event.GroupInfo{Group: group, Members: 1})
			b.close()
			e.awaitCensus(topic, event.GroupInfo{Group: group})
		},
	},
	{
		name:    "AfterRemoval",
		promise: "A removed group is none of a topic's groups any more.",
		needs:   []need{knowsGroups, canProvision},
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			e.ensureGroup(group, event.Start{}, topic)
			e.awaitCensus(topic, event.GroupInfo{Group: group})
			e.removed(group, topic)
			e.awaitCensus(topic)
		},
	},
	{
		name:    "UnknownTopic",
		promise: "A topic that nobody knows has no groups; to ask is no error.",
		needs:   []need{knowsGroups},
		run: func(e *env) {
			ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
			defer cancel()
			groups, err := as[event.Census](e).Groups(ctx, e.Topic(e.name("unknown")))
			if err != nil || len(groups) != 0 {
				e.errorf("Groups of an unknown topic returned %s and %v", describeGroups(groups), err)
			}
		},
	},
}
