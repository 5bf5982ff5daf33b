package channeltest

import (
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// earlier produces events that a group of the topic has settled before another
// group is made.
func (e *env) earlier(topic string, n int) []event.Event {
	e.t.Helper()
	m := e.join(e.group("first"), topic)
	events := keyed("early", 1, n)
	e.produce(topic, events...)
	m.handleAny(events...)
	m.close()
	return events
}

// startAt joins a new group that starts at from.
func (e *env) startAt(name, topic string, from event.Start) *member {
	e.t.Helper()
	return e.joinAs(event.Subscription{Group: e.group(name), Topics: []string{topic}, From: from})
}

var startCases = []testCase{
	{
		name:    "NewestSkips",
		promise: "A group that starts at the newest gets nothing that was accepted before it existed, settled by others or not, and all that comes after.",
		run: func(e *env) {
			topic := e.topic("orders")
			e.earlier(topic, 5)
			first := e.join(e.group("first"), topic)
			waiting := unkeyed("waiting", 3)
			e.produce(topic, waiting...)
			m := e.startAt("late", topic, event.Newest())
			m.silent("they were accepted before its group existed, and it starts at the newest")
			after := unkeyed("after", 5)
			e.produce(topic, after...)
			m.handleAny(after...)
			first.handleAny(append(waiting, after...)...)
		},
	},
	{
		name:    "NothingWithoutHistory",
		promise: "Where the channel has no history, a group gets nothing that was accepted before it existed and settled by all groups then.",
		needs:   []need{noHistory},
		run: func(e *env) {
			topic, nobody := e.topic("orders"), e.topic("nobody")
			e.produce(nobody, unkeyed("unheard", 3)...)
			e.earlier(topic, 5)
			m := e.join(e.group("late"), topic, nobody)
			m.silent("it was accepted before its group existed, and the channel has no history")
			after := unkeyed("after", 5)
			e.produce(topic, after...)
			m.handleAny(after...)
		},
	},
	{
		name:    "HistoryByDefault",
		promise: "A new group starts at the earliest event that the channel still has, unless told otherwise.",
		needs:   []need{history},
		run: func(e *env) {
			topic := e.topic("orders")
			events := e.earlier(topic, 10)
			m := e.join(e.group("late"), topic)
			m.handleAny(events...)
			after := keyed("early", 11, 15)
			e.produce(topic, after...)
			m.handleAny(after...)
		},
	},
	{
		name:    "HistoryBeforeAnyGroup",
		promise: "History is also what was accepted when the topic had no group at all.",
		needs:   []need{history},
		run: func(e *env) {
			topic := e.topic("orders")
			events := keyed("a", 1, 5)
			e.produce(topic, events...)
			m := e.startAt("late", topic, event.Oldest())
			m.handleAny(events...)
			m.silent("it has had all events")
		},
	},
	{
		name:    "Oldest",
		promise: "A group that starts at the oldest gets the history, then what comes.",
		needs:   []need{history},
		run: func(e *env) {
			topic := e.topic("orders")
			events := e.earlier(topic, 10)
			m := e.startAt("late", topic, event.Oldest())
			m.handleAny(events...)
			m.silent("it has had all events")
		},
	},
	{
		name:    "OldestRefused",
		promise: "A start at the oldest, or since a time, is refused with ErrNoHistory where the channel has no history.",
		needs:   []need{noHistory},
		stands:  true,
		run: func(e *env) {
			topic := e.topic("orders")
			for _, from := range []event.Start{event.Oldest(), event.Since(time.Now().Add(-time.Hour))} {
				m, err := e.tryJoin(event.Subscription{Group: e.group("late"), Topics: []string{topic}, From: from})
				if m != nil || !errors.Is(err, event.ErrNoHistory) {
					e.errorf("Consumer with From %+v returned the error %v, not ErrNoHistory", from, err)
				}
			}
		},
	},
	{
		name:    "Since",
		promise: "A group that starts at a time gets the first event that was accepted then or later, and all after it.",
		needs:   []need{history},
		run: func(e *env) {
			topic := e.topic("orders")
			before, after := keyed("a", 1, 3), keyed("a", 4, 6)
			e.produce(topic, before...)
			e.pass(max(e.Silence, 20*time.Millisecond))
			since := time.Now()
			e.pass(max(e.Silence, 20*time.Millisecond))
			e.produce(topic, after...)
			m := e.startAt("late", topic, event.Since(since))
			m.handleAny(after...)
			m.silent("it has had all events that were accepted since")
			e.startAt("ancient", topic, event.Since(since.Add(-time.Hour))).handleAny(append(before, after...)...)
			e.startAt("future", topic, event.Since(time.Now().Add(time.Hour))).silent("it was accepted before the time at which its group starts")
		},
	},
	{
		name:    "OnlyForNewGroups",
		promise: "Subscription.From is for groups that don't exist yet: a group that exists goes on where it was.",
		run: func(e *env) {
			topic, group := e.topic("orders"), e.group("mailer")
			events := keyed("a", 1, 6)
			m := e.join(group, topic)
			e.produce(topic, events[:3]...)
			m.handleAny(events[:3]...)
			m.close()
			e.produce(topic, events[3:]...)
			m = e.joinAs(event.Subscription{Group: group, Topics: []string{topic}, From: event.Newest()})
			m.handleAny(events[3:]...)
			m.silent("it has settled all")
		},
	},
}
