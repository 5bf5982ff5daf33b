package bus_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A handler is told where its event stands and what gap is before it, one of batches for
// each of its events.
func TestInfoHasPositionAndGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		var mu sync.Mutex
		told := make(map[string]string)
		note := func(ctx context.Context, to string) {
			info, _ := event.FromContext(ctx)
			mu.Lock()
			defer mu.Unlock()
			told[to] += fmt.Sprintf("%d behind %d, ", info.Position.Offset, info.Gap)
		}
		bus.Subscribe(b, "one", func(ctx context.Context, _ Row) error { note(ctx, "one"); return nil }, bus.Workers(1))
		bus.SubscribeBatch(b, "many", func(ctx context.Context, rows []Row) error {
			for i := range rows {
				note(event.Element(ctx, i), "many")
			}
			return nil
		})
		start(t, b)
		publish(t, b, Row{"k", 1})
		quiet(t, ch)
		for _, group := range []string{"one", "many", "one"} {
			e := event.New("/test", "row", []byte(`{}`))
			if err := ch.ProduceTo(t.Context(), group, "row", event.MarkReplayed, e); err != nil {
				t.Fatal(err)
			}
		}
		publish(t, b, Row{"k", 2})
		publish(t, b, Row{"k", 3})
		quiet(t, ch)
		for to, want := range map[string]string{
			"one":  "1 behind 0, 2 behind 0, 4 behind 1, 5 behind 0, 6 behind 0, ",
			"many": "1 behind 0, 3 behind 1, 5 behind 1, 6 behind 0, ",
		} {
			if told[to] != want {
				t.Errorf("%s was told %q, want %q", to, told[to], want)
			}
		}
	})
}
