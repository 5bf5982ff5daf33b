package pgstore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/stores/pgstore"
)

// Duplicates at the same time have one effect where transactions are SERIALIZABLE, too,
// across the borders of partitions. What the server can't serialize is no failure of it.
func TestSerializable(t *testing.T) {
	for name, subscribe := range map[string]func(b *bus.Bus, money bank, once event.Middleware){
		"single": func(b *bus.Bus, money bank, once event.Middleware) {
			bus.Subscribe(b, "billing", func(ctx context.Context, p Paid) error { return money.book(ctx, p.Cents) }, bus.With(once), bus.Workers(8))
		},
		"batch": func(b *bus.Bus, money bank, once event.Middleware) {
			bus.SubscribeBatch(b, "billing", func(ctx context.Context, all []Paid) error {
				for i, p := range all {
					if err := money.book(event.Element(ctx, i), p.Cents); err != nil {
						return err
					}
				}
				return nil
			}, bus.With(once), bus.Workers(8), bus.Batch(10, 5*time.Millisecond))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, pool := newStore(t, pgstore.Partition(300*time.Millisecond), pgstore.Serializable())
			money := newBank(t, pool)
			ctx, cancel := context.WithCancel(t.Context())
			kept := make(chan error, 1)
			go func() { kept <- s.Keep(ctx) }()
			defer func() {
				cancel()
				<-kept //nolint:errcheck // ctx ended it
			}()
			once := s.InTx()
			b, ch := startedWith(t, memory.New(memory.Capacity(100_000)), func(b *bus.Bus) { subscribe(b, money, once) })
			n := 0
			for end := time.Now().Add(2 * time.Second); time.Now().Before(end); n++ {
				e := in(fmt.Sprint(n), Paid{"ada", 5})
				require.NoError(t, b.PublishAll(t.Context(), e.WithKey(fmt.Sprint("a", n)), e.WithKey(fmt.Sprint("b", n)), e.WithKey(fmt.Sprint("c", n))))
				pause(t, 4*time.Millisecond)
			}
			quiet(t, ch)
			booked := money.booked(t)
			require.Len(t, booked, n)
			for id, times := range booked {
				require.Equal(t, 1, times, id)
			}
			require.Zero(t, once.Stats().Failed)
		})
	}
}
