package pgstore_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// weighing is a channel that takes everything, and notes the most that came at once.
type weighing struct {
	*memory.Channel

	most, events atomic.Int64
}

func (c *weighing) Producer(context.Context, string) (event.Producer, error) {
	return weighingProducer{c}, nil
}

type weighingProducer struct{ c *weighing }

func (p weighingProducer) Produce(_ context.Context, events ...event.Event) error {
	sum := 0
	for _, e := range events {
		sum += len(e.Data())
	}
	p.c.most.Store(max(p.c.most.Load(), int64(sum)))
	p.c.events.Add(int64(len(events)))
	return nil
}

func (weighingProducer) Close(context.Context) error { return nil }

// Large events are not read all at once.
func TestPagesOfLargeEvents(t *testing.T) {
	s, pool := newStore(t)
	ch := &weighing{Channel: memory.New()}
	b, _ := startedWith(t, ch, func(*bus.Bus) {})
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		for i := range 50 {
			e := in(fmt.Sprint(i), Paid{Customer: "ada"}).WithData("text/plain", bytes.Repeat([]byte("x"), 1<<20))
			if err := s.Publish(t.Context(), tx, b, e); err != nil {
				return err
			}
		}
		return nil
	}))
	relaying(t, s, b)
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, 30*time.Second, 10*time.Millisecond)
	require.EqualValues(t, 50, ch.events.Load())
	require.LessOrEqual(t, ch.most.Load(), int64(17<<20))
}
