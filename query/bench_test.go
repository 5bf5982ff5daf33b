package query_test

import (
	"context"
	"testing"

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

func BenchmarkLocal(b *testing.B) {
	bb := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(bb, func(_ context.Context, q getOrder) (order, error) { return order{ID: q.ID}, nil })
	if err := bb.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer bb.Shutdown(context.Background())
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if o, err := query.Ask[order](ctx, bb, getOrder{ID: "42"}); err != nil || o.ID != "42" {
			b.Fatal(o, err)
		}
	}
}

type getOrder struct{ ID string }

type order struct{ ID string }

func BenchmarkRemote(b *testing.B) {
	ch := memory.New()
	server := bus.New(bus.Config{App: "server", Channel: ch, KeepChannel: true, Codecs: []event.Codec{rawCodec{}}})
	client := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true, Codecs: []event.Codec{rawCodec{}}})
	query.Handle(server, func(_ context.Context, q getRaw) ([]byte, error) { return q.data, nil })
	for _, x := range []*bus.Bus{server, client} {
		if err := x.Start(b.Context()); err != nil {
			b.Fatal(err)
		}
		defer x.Shutdown(context.Background())
	}
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
