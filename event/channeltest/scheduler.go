package channeltest

import (
	"slices"

	"github.com/leat-go/leat/event"
)

var schedulerCases = []testCase{
	{
		name:    "Cancel",
		promise: "Cancel removes an event that is not due yet, for all groups, and tells whether it was there.",
		needs:   []need{cancels, delays},
		run: func(e *env) {
			topic := e.topic("orders")
			ms := []*member{e.join(e.group("a"), topic), e.join(e.group("b"), topic)}
			wait := e.delay(e.Guarantees.MaxDelay)
			events := []event.Event{later(numbered("x", 1), wait), later(numbered("x", 2), wait), numbered("x", 3)}
			e.produce(topic, events...)
			cancel := func(id string, want bool, why string) {
				e.t.Helper()
				ctx, stop := e.patient()
				defer stop()
				found, err := as[event.Scheduler](e).Cancel(ctx, topic, id)
				if err != nil || found != want {
					e.fatalf("Cancel of %s returned %v and %v: %s", id, found, err, why)
				}
			}
			cancel("x-1", true, "it was produced and is not due")
			cancel("x-1", false, "it was cancelled before")
			cancel("x-9", false, "nobody produced it")
			for _, m := range ms {
				got := m.handle(2)
				for _, d := range got {
					if d.Event.ID() == "x-1" {
						e.errorf("x-1 came, though it was cancelled")
					}
				}
				if !slices.ContainsFunc(got, func(d event.Delivery) bool { return d.Event.ID() == "x-2" }) {
					e.errorf("x-2 didn't come, another was cancelled")
				}
				m.silent("all is cancelled or acked")
			}
			cancel("x-2", false, "it was delivered")
		},
	},
}
