package bench

import (
	"context"
	"hash/maphash"
	"sync"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// room is how many values a plain channel holds: as many as a topic of leat.
const room = memory.DefaultCapacity

var seed = maphash.MakeSeed()

// openChannel starts what one would write without a bus: one Go channel for each
// group, and goroutines that receive from it and call the handler. With keys each
// worker has a channel of its own, chosen by the key. There is no settling, no retry,
// and an event that was taken is lost with its goroutine.
func openChannel(l Load) (*Stream, error) {
	l = l.withDefaults()
	t := newTally()
	ctx := context.Background()
	var handler event.Handler = t.event
	shards := 1
	if l.Keyed {
		shards = l.Workers
	}
	channels := make([]chan event.Event, l.Groups*shards)
	var wg sync.WaitGroup
	for i := range channels {
		ch := make(chan event.Event, room)
		channels[i] = ch
		for range l.Workers / shards {
			wg.Go(func() {
				for e := range ch {
					_ = handler(ctx, e)
				}
			})
		}
	}
	return &Stream{
		Run: func(n int) error {
			t.expect(n*l.Groups, false)
			err := l.produce(n, func(m *maker, from, to int) error {
				for i := from; i < to; i++ {
					e := m.event(i)
					shard := 0
					if shards > 1 {
						shard = int(maphash.String(seed, e.Key()) % uint64(shards))
					}
					for g := range l.Groups {
						channels[g*shards+shard] <- e
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			return t.wait()
		},
		Close: func() error {
			for _, ch := range channels {
				close(ch)
			}
			wg.Wait()
			return nil
		},
	}, nil
}
