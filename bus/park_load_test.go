package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Two members handle keys of which now and then one is parked, and redriven later,
// while members stop and start: each key is handled in order and without a gap.
func TestParkKeyUnderLoad(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { parkKeysUnderLoad(t, seed) })
		})
	}
}

func parkKeysUnderLoad(t *testing.T, seed uint64) {
	t.Helper()
	const keys, each = 20, 150
	ctx := t.Context()
	ch := memory.New(memory.Capacity(200), memory.DeadCapacity(400))
	require.NoError(t, ch.EnsureGroup(ctx, "g", event.Start{}, "step"))
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	handled, parked := make(map[string]int), 0
	var wrong []string
	handle := func(_ context.Context, s step) error {
		mu.Lock()
		defer mu.Unlock()
		switch r.IntN(20) {
		case 0:
			parked++
			return event.Permanent(errBoom)
		case 1:
			return errBoom
		}
		if handled[s.Order]++; handled[s.Order] != s.N {
			wrong = append(wrong, fmt.Sprintf("%s: %d came, want %d", s.Order, s.N, handled[s.Order]))
		}
		return nil
	}
	member := func() *bus.Bus {
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		bus.Subscribe(b, "g", handle, bus.ParkKey(), bus.Workers(3), bus.InFlight(24))
		require.NoError(t, b.Start(ctx))
		return b
	}
	bs := []*bus.Bus{member(), member()}
	published := make(chan error, 1)
	p, err := ch.Producer(ctx, "step")
	require.NoError(t, err)
	go func() {
		for n := range each {
			for k := range keys {
				e := event.Attributes{
					Source: "/x", Type: "step", Key: fmt.Sprint("k", k), ContentType: "application/json",
					Data: fmt.Appendf(nil, `{"Order":"k%d","N":%d}`, k, n+1),
				}.Event()
				if err := p.Produce(ctx, e); err != nil {
					published <- err
					return
				}
			}
		}
		published <- nil
	}()
	total := func() (n int) {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range handled {
			n += c
		}
		return n
	}
	for round := 0; total() < keys*each; round++ {
		require.Less(t, round, 100_000, "it stands still")
		time.Sleep(50 * time.Millisecond) // virtual
		_, err := bs[round%2].RedriveKey(ctx, "g", fmt.Sprint("k", round*7%keys))
		require.NoError(t, err)
		if i := round % 4; i < 2 {
			require.NoError(t, bs[i].Shutdown(ctx))
			bs[i] = member()
		}
	}
	require.NoError(t, <-published)
	quiet(t, ch)
	for _, b := range bs {
		require.NoError(t, b.Shutdown(ctx))
	}
	require.Empty(t, wrong[:min(len(wrong), 3)])
	require.NotZero(t, parked)
	for _, n := range handled {
		require.Equal(t, each, n)
	}
}
