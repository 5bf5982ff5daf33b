package idempotency_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/idempotency/storetest"
)

func TestMemory(t *testing.T) {
	open := func(_ testing.TB, window time.Duration) idempotency.Store {
		return idempotency.NewMemory(idempotency.MemoryConfig{Window: window})
	}
	storetest.Run(t, storetest.Harness{Open: open, Bubble: true, Lease: time.Minute, Window: time.Hour, Late: 5 * time.Minute})
	t.Run("in real time", func(t *testing.T) { storetest.Run(t, storetest.Harness{Open: open}) })
}

// What is kept is bounded, by number and by time, and nothing is forgotten to make room.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idempotency.NewMemory(idempotency.MemoryConfig{Window: time.Hour, Capacity: 640})
		claim := func(i int) error {
			_, err := m.Claim(t.Context(), idempotency.StringKey(fmt.Sprint(i)), idempotency.Claim{Lease: time.Second})
			return err
		}
		full := 0
		for i := range 10_000 {
			if claim(i) != nil {
				full++
			}
		}
		require.Equal(t, 640, m.Len())
		require.Equal(t, 9360, full)
		require.ErrorIs(t, claim(20_000), idempotency.ErrFull)
		time.Sleep(2 * time.Hour) // virtual
		for i := range 6400 {
			_ = claim(i)
		}
		require.Equal(t, 640, m.Len(), "the old ones are gone")
	})
}
