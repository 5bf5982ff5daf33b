package bridgenats_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/assert"

	"github.com/leat-go/leat/internal/servicetest"
)

// sweeper removes the streams of topics, and of their groups, when a test is over.
type sweeper struct {
	mu     sync.Mutex
	topics []string
}

func newSweeper(tb testing.TB) *sweeper {
	tb.Helper()
	s := new(sweeper)
	tb.Cleanup(func() {
		nc, err := nats.Connect(servicetest.Addr(tb, "nats"))
		if !assert.NoError(tb, err) {
			return
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if !assert.NoError(tb, err) {
			return
		}
		all := js.StreamNames(context.Background())
		for name := range all.Name() {
			if slices.ContainsFunc(s.topics, func(topic string) bool { return strings.HasPrefix(name, topic) }) {
				assert.NoError(tb, js.DeleteStream(context.Background(), name))
			}
		}
		assert.NoError(tb, all.Err())
	})
	return s
}

// topic notes one. Its name is unlike any other, and has no dots.
func (s *sweeper) topic(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics = append(s.topics, name)
	return name
}
