package bus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Publishers that wait for room are let go with ErrClosed when the Bus ends; what
// was accepted stays accepted.
func TestWhoWaitsForRoomIsLetGo(t *testing.T) {
	ends := map[string]func(*bus.Bus, context.Context) error{"drain": (*bus.Bus).Drain, "shutdown": (*bus.Bus).Shutdown}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ran tally
				gate := make(chan struct{})
				b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(2))})
				bus.Subscribe(b, "g", func(context.Context, Job) error {
					<-gate
					ran.add("job")
					return nil
				})
				start(t, b)
				publish(t, b, Job{1})
				publish(t, b, Job{2})
				waiting := make(chan error, 2)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() { waiting <- b.Publish(ctx, Job{3}) }()
				go func() { waiting <- b.PublishAll(t.Context(), Job{4}, Job{5}) }()
				synctest.Wait()
				ended := make(chan error, 1)
				go func() { ended <- end(b, t.Context()) }()
				for range 2 {
					err := <-waiting
					var full *event.FullError
					if !errors.Is(err, event.ErrClosed) || !errors.As(err, &full) || full.Group != "g" {
						t.Errorf("the waiting publish returned %v, want ErrClosed and the group that is behind", err)
					}
				}
				close(gate)
				if err := <-ended; err != nil {
					t.Error(err)
				}
				if n := ran.total(); n < 1 || n > 2 || name == "drain" && n != 2 {
					t.Errorf("%d runs", n)
				}
			})
		})
	}
}

// A publisher's own context still ends its wait with its own error.
func TestPublishersContextEndsItsWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(1))})
		bus.Subscribe(b, "g", func(context.Context, Job) error { <-gate; return nil })
		start(t, b)
		publish(t, b, Job{1})
		ctx, cancel := context.WithTimeout(t.Context(), 1)
		defer cancel()
		err := b.Publish(ctx, Job{2})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, event.ErrFull) || errors.Is(err, event.ErrClosed) {
			t.Errorf("publish: %v, want the deadline and ErrFull", err)
		}
		close(gate)
		drain(t, b)
	})
}
