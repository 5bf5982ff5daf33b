package bridgeredis_test

import (
	"context"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"
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
		rdb := redis.NewClient(&redis.Options{Addr: servicetest.Addr(tb, "redis")})
		defer func() { assert.NoError(tb, rdb.Close()) }()
		for _, topic := range s.topics {
			keys, err := rdb.Keys(context.Background(), topic+"*").Result()
			if assert.NoError(tb, err) && len(keys) > 0 {
				assert.NoError(tb, rdb.Del(context.Background(), keys...).Err())
			}
		}
	})
	return s
}

// topic notes one. Its name is unlike any other.
func (s *sweeper) topic(name string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.topics = append(s.topics, name)
	return name
}
