package channeltest

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-go/leat/event"
)

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
		stands:  true,
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
		stands:  true,
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
		stands:  true,
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
		stands:  true,
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
