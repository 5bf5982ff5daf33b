package bus_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/leat-go/leat/bus"
)

var errBoom = errors.New("boom")

// start starts a Bus and shuts it down at the end of the test.
func start(t *testing.T, b *bus.Bus) {
	t.Helper()
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ended, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		cancel()
		_ = b.Shutdown(ended) // tests of the shutdown look at its error themselves
	})
}

func drain(t *testing.T, b *bus.Bus) {
	t.Helper()
	if err := b.Drain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
}

func publish(t *testing.T, b *bus.Bus, v any, opts ...bus.PublishOption) {
	t.Helper()
	if err := b.Publish(t.Context(), v, opts...); err != nil {
		t.Fatal(err)
	}
}

// tally counts by name, and remembers the order.
type tally struct {
	mu    sync.Mutex
	count map[string]int
	order []string
}

func (c *tally) add(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.count == nil {
		c.count = make(map[string]int)
	}
	c.count[name]++
	c.order = append(c.order, name)
	return c.count[name]
}

func (c *tally) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.order)
}

func (c *tally) names() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.order...)
}
