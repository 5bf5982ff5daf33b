package bus_test

import (
	"context"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

type shipped struct{}

func (shipped) EventTopic() string { return "logistics" }

// A raw handler finds the topic of a type whichever of the two was subscribed first.
func TestTopicOfATypeThatIsSubscribedLater(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		var typed, raw int
		bus.SubscribeRaw(b.Bus, "audit", []string{"shipped"}, func(context.Context, event.Event) error { raw++; return nil })
		bus.Subscribe(b.Bus, "mailer", func(context.Context, shipped) error { typed++; return nil })
		b.Publish(shipped{})
		b.Settle()
		if typed != 1 || raw != 1 {
			t.Errorf("typed handler ran %d times, raw handler %d times", typed, raw)
		}
	})
}
