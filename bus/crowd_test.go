package bus_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

type Step struct {
	K string
	N int
}

func (s Step) EventKey() string { return s.K }

// 1,500 keys fail for an hour and more, three events each; the window has room for
// a third of them. The good events behind them don't wait, and every key keeps its
// order.
func TestGoodEventsDontWaitForFailingKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys, each, good = 1500, 3, 1000
		var seen, done tally
		var goodAt time.Duration
		b := bus.New(bus.Config{Channel: memory.New(memory.Capacity(keys*each + good))})
		began := time.Now()
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			if s.K == "" {
				if done.add("good") == good {
					goodAt = time.Since(began)
				}
				return nil
			}
			if seen.add(s.K+"/"+strconv.Itoa(s.N)) <= 2 {
				return errBoom
			}
			done.add(s.K + "/" + strconv.Itoa(s.N))
			return nil
		}, bus.Retry(bus.Backoff{First: time.Hour, Max: time.Hour}), bus.Workers(4), bus.InFlight(512))
		start(t, b)
		for n := range each {
			for k := range keys {
				publish(t, b, Step{K: fmt.Sprintf("k%d", k), N: n})
			}
		}
		for range good {
			publish(t, b, Step{})
		}
		drain(t, b)
		if goodAt != 0 {
			t.Errorf("the good events were handled after %v, want at once", goodAt)
		}
		if got := done.total(); got != keys*each+good {
			t.Errorf("handled %d events, want %d", got, keys*each+good)
		}
		next := make(map[string]int)
		for _, name := range done.names() {
			k, n, keyed := strings.Cut(name, "/")
			if !keyed {
				continue
			}
			if want := strconv.Itoa(next[k]); n != want {
				t.Fatalf("key %s: event %s was handled, want %s", k, n, want)
			}
			next[k]++
		}
		for name, n := range seen.count {
			if n != 3 {
				t.Fatalf("event %s had %d attempts, want 3", name, n)
			}
		}
	})
}
