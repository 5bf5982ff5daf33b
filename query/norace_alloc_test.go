//go:build !race

package query_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/query"
)

// A hit allocates the query's encoding, and nothing else.
func TestCacheAllocs(t *testing.T) {
	s := newDesk()
	b := s.open(t, nil)
	f := query.Chain(s.answer, query.Cache[priceOf, price](b, query.CacheConfig{}))
	ctx, q := t.Context(), priceOf{"tea"}
	cents(t, f, "tea")
	encoding := testing.AllocsPerRun(100, func() { _, _, _ = b.Style().Encode(q) })
	hit := testing.AllocsPerRun(100, func() { _, _ = f(ctx, q) })
	require.Equal(t, int(encoding), int(hit))
	require.Equal(t, 1, s.asks("tea"))
}

// What a query over the channel in memory allocates, in all goroutines.
func TestRemoteAllocs(t *testing.T) {
	client := remoteRaw(t)
	ctx, data := t.Context(), []byte("hello")
	got := testing.AllocsPerRun(1000, func() {
		if _, err := query.Ask[[]byte](ctx, client, getRaw{data}); err != nil {
			t.Error(err)
		}
	})
	require.LessOrEqual(t, got, 12.0)
}
