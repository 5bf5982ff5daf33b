package query_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// raw is a query that is its own encoding.
type getRaw struct{ data []byte }

type rawCodec struct{}

func (rawCodec) ContentType() string { return "application/octet-stream" }

func (rawCodec) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case getRaw:
		return v.data, nil
	case []byte:
		return v, nil
	}
	panic("no bytes")
}

func (rawCodec) Decode(data []byte, v any) error {
	switch v := v.(type) {
	case *getRaw:
		v.data = data
	case *[]byte:
		*v = data
	}
	return nil
}

// In process nothing is allocated.
func TestDirectAllocatesNothing(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, func(_ context.Context, q getOrder) (order, error) { return order{ID: q.ID}, nil })
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	ctx := t.Context()
	got := testing.AllocsPerRun(100, func() {
		if o, err := query.Ask[order](ctx, b, getOrder{ID: "42"}); err != nil || o.ID != "42" {
			t.Error(o, err)
		}
	})
	require.Zero(t, got)
}

// remoteRaw is a Bus that asks another on the same channel.
func remoteRaw(tb testing.TB) *bus.Bus {
	tb.Helper()
	ch := memory.New()
	server := bus.New(bus.Config{App: "server", Channel: ch, KeepChannel: true, Codecs: []event.Codec{rawCodec{}}})
	client := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true, Codecs: []event.Codec{rawCodec{}}})
	query.Handle(server, func(_ context.Context, q getRaw) ([]byte, error) { return q.data, nil })
	for _, b := range []*bus.Bus{server, client} {
		require.NoError(tb, b.Start(tb.Context()))
		tb.Cleanup(func() { require.NoError(tb, b.Shutdown(context.WithoutCancel(tb.Context()))) })
	}
	return client
}

func BenchmarkRemote(b *testing.B) {
	client := remoteRaw(b)
	ctx := b.Context()
	data := []byte("hello")
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := query.Ask[[]byte](ctx, client, getRaw{data}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(50)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := query.Ask[[]byte](ctx, client, getRaw{data}); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
