package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// inFlight is how many queries of the parallel scenario are on their way at a time.
const inFlight = 10_000

// queryLocal is the scenario of queries whose handler is in the same process.
func queryLocal(floor float64) Scenario {
	return Scenario{"query-local", "a query is answered by a handler of the same process", []Side{
		{"leat", Leat, 0, openLeatLocal},
		{"map", Floor, floor, openMapOfHandlers},
	}}
}

// queryRemote is a scenario of queries that go over a channel, and answers that come
// back: of 256 bytes both. callers ask at the same time, each one query after the other.
func queryRemote(name, about string, callers int, watermill, nats float64) Scenario {
	s := Scenario{name, about, []Side{
		{"leat", Leat, 0, func() (*Stream, error) { return openLeatRemote(callers) }},
	}}
	for _, w := range requestReplies(callers) {
		s.Sides = append(s.Sides, Side{w.name(), Peer, watermill, func() (*Stream, error) { return openRequestReply(callers, w) }})
	}
	for _, near := range []bool{true, false} {
		s.Sides = append(s.Sides, Side{natsName(near), Peer, nats, func() (*Stream, error) { return openNATS(callers, near) }})
	}
	return s
}

// find is the query of the local scenario, and found its answer.
type (
	find  struct{ Number int }
	found struct{ Number int }
)

func answerFind(_ context.Context, q find) (found, error) { return found(q), nil }

// asks runs the queries of the local scenario.
func asks(n int, ask func(find) (found, error)) error {
	for i := range n {
		a, err := ask(find{i})
		if err != nil {
			return err
		}
		if a.Number != i {
			return wrongAnswer(i)
		}
	}
	return nil
}

func wrongAnswer(i int) error { return fmt.Errorf("bench: wrong answer to query %d", i) }

func openLeatLocal() (*Stream, error) {
	b := bus.New(bus.Config{Channel: memory.New()})
	query.Handle(b, answerFind)
	ctx, cancel := Load{}.context()
	return &Stream{
		Run: func(n int) error {
			return asks(n, func(q find) (found, error) { return query.Ask[found](ctx, b, q) })
		},
		Close: func() error {
			defer cancel()
			return b.Shutdown(ctx)
		},
	}, b.Start(ctx)
}

// openMapOfHandlers is what one would write: functions, by the type of their query.
func openMapOfHandlers() (*Stream, error) {
	handlers := map[reflect.Type]any{reflect.TypeFor[find](): answerFind}
	ctx, cancel := Load{}.context()
	return &Stream{
		Run: func(n int) error {
			return asks(n, func(q find) (found, error) {
				h, ok := handlers[reflect.TypeFor[find]()].(func(context.Context, find) (found, error))
				if !ok {
					return found{}, errors.ErrUnsupported
				}
				return h(ctx, q)
			})
		},
		Close: func() error { cancel(); return nil },
	}, nil
}

// openRemote makes a stream of queries that carry their number, and whose answer is what
// was asked. The callers make their data anew for each query, so ask copies it.
func openRemote(callers int, ask func([]byte) ([]byte, error), end func() error) *Stream {
	return &Stream{
		Run: func(n int) error {
			return Load{Producers: min(callers, n)}.withDefaults().produce(n, func(m *maker, i, _ int) error {
				answer, err := ask(m.next(i))
				if err != nil {
					return err
				}
				if len(answer) != payload || number(answer) != i {
					return wrongAnswer(i)
				}
				return nil
			})
		},
		Close: end,
	}
}

// echo is the query of the remote scenarios: bytes that come back.
type echo struct{ data []byte }

// bytesCodec encodes what is bytes already, by copying them, as all others do.
type bytesCodec struct{}

var _ event.Codec = bytesCodec{}

func (bytesCodec) ContentType() string { return "application/octet-stream" }

func (bytesCodec) Encode(v any) ([]byte, error) {
	switch v := v.(type) {
	case echo:
		return bytes.Clone(v.data), nil
	case []byte:
		return bytes.Clone(v), nil
	}
	return nil, errors.ErrUnsupported
}

func (bytesCodec) Decode(data []byte, v any) error {
	switch v := v.(type) {
	case *echo:
		v.data = data
	case *[]byte:
		*v = data
	default:
		return errors.ErrUnsupported
	}
	return nil
}

// openLeatRemote starts two Buses, of two applications, that share a channel in memory with
// room for a query of each caller, and for the one before, which may not be settled yet.
func openLeatRemote(callers int) (*Stream, error) {
	channel := memory.New(memory.Capacity(max(2*callers, memory.DefaultCapacity)))
	open := func(app string, keep bool) *bus.Bus {
		return bus.New(bus.Config{App: app, Channel: channel, KeepChannel: keep, Codecs: []event.Codec{bytesCodec{}}})
	}
	server, client := open("server", false), open("client", true)
	query.Handle(server, func(_ context.Context, q echo) ([]byte, error) { return q.data, nil })
	ctx, cancel := Load{}.context()
	ask := func(data []byte) ([]byte, error) { return query.Ask[[]byte](ctx, client, echo{data}) }
	return openRemote(callers, ask, func() error {
		defer cancel()
		return errors.Join(client.Shutdown(ctx), server.Shutdown(ctx))
	}), errors.Join(server.Start(ctx), client.Start(ctx))
}
