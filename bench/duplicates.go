package bench

import (
	"context"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// group is who handles, where a middleware is called without a bus.
const group = "shop.billing"

// duplicates is the scenario of a middleware in memory: every event is delivered twice,
// and handled once. It has Watermill's Deduplicator beside leat's, which forgets an event
// whose handler fails: a test in the module test counts what it loses.
func duplicates() Scenario {
	return Scenario{"duplicates", "the middleware alone, in memory: 256 bytes, each event is delivered twice and handled once", []Side{
		{"leat", Leat, 0, openDuplicates},
		{"watermill-sha256", Peer, 0, func() (*Stream, error) {
			return openDeduplicator(middleware.NewMessageHasherSHA256(math.MaxInt64))
		}},
		{"watermill-id", Peer, 0, func() (*Stream, error) {
			return openDeduplicator(func(m *message.Message) (string, error) { return m.UUID, nil })
		}},
	}}
}

// handling returns the context of a handler of e.
func handling(ctx context.Context, e event.Event) context.Context {
	return &event.Attempt{Context: ctx, Info: event.Info{Event: e, Topic: placed, Group: group, Attempt: 1}}
}

func openDuplicates() (*Stream, error) {
	var handled atomic.Int64
	store := idempotency.NewMemory(idempotency.MemoryConfig{Capacity: 1 << 30})
	once := idempotency.Middleware(store).Wrap(func(context.Context, event.Event) error {
		handled.Add(1)
		return nil
	})
	m := &maker{data: make([]byte, payload)}
	return &Stream{
		Run: func(n int) error {
			handled.Store(0)
			for i := range n {
				e := m.event(i)
				for range 2 {
					if err := once(handling(new(event.Lease), e), e); err != nil {
						return err
					}
				}
			}
			return exactly(n, handled.Load())
		},
		Close: func() error { return nil },
	}, nil
}

func openDeduplicator(tell middleware.MessageHasher) (*Stream, error) {
	var handled atomic.Int64
	// the map is Watermill's own; what it knows stays for as long as leat's
	known, err := middleware.NewMapExpiringKeyRepository(24 * time.Hour)
	if err != nil {
		return nil, err
	}
	once := (&middleware.Deduplicator{KeyFactory: tell, Repository: known, Timeout: time.Minute}).
		Middleware(func(*message.Message) ([]*message.Message, error) {
			handled.Add(1)
			return nil, nil
		})
	m, made := &maker{data: make([]byte, payload)}, 0
	return &Stream{
		Run: func(n int) error {
			handled.Store(0)
			for range n {
				made++ // no payload twice: it tells messages apart
				msg := newMessage(m.next(made))
				for range 2 {
					if _, err := once(msg); err != nil {
						return err
					}
				}
			}
			return exactly(n, handled.Load())
		},
		Close: func() error { return nil },
	}, nil
}

func exactly(want int, got int64) error {
	if got != int64(want) {
		return fmt.Errorf("bench: %d events were handled, not %d", got, want)
	}
	return nil
}
