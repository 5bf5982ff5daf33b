package memory_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What went over the bound comes next, but not before earlier events of its key.
func TestWhatWentOverTheBoundComesNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(5), memory.Reserve(0))
		c := k.join("g", "a")
		k.texts("a", "0", "1", "k:1", "2", "k:2")
		d := k.receive(c, 1)[0]
		begun, _ := c.Begin(d.Token)
		publish := func() error {
			return k.producer("a").Produce(begun, textEvent("x"), textEvent("k:3"), textEvent("y"),
				textEvent("later").WithNotBefore(time.Now().Add(time.Hour)))
		}
		require.ErrorIs(t, publish(), event.ErrFull, "four are to be delivered")
		require.NoError(t, publish(), "and nobody fetches them")
		require.Equal(t, []string{"x", "k:1", "k:2", "k:3", "y", "1", "2"}, data(k.receive(c, 9)))
	})
}

// A delivery whose publish has gone out runs on; only when it ends can it be
// known that nothing else moves.
func TestOverTheBoundNotWhileAnotherRunsOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4), memory.Reserve(0))
		c := k.join("g", "a")
		k.produce("a", events(4)...)
		ds := k.receive(c, 4)
		first, _ := c.Begin(ds[0].Token)
		second, _ := c.Begin(ds[1].Token)
		p := k.producer("a")
		require.ErrorIs(t, p.Produce(first, textEvent("more")), event.ErrFull)
		k.ack(c, ds[2:]...)
		require.NoError(t, p.Produce(second, textEvent("more")))
		require.NoError(t, p.Produce(first, textEvent("more")))
		for _, d := range k.receive(c, 2) {
			_, _ = c.Begin(d.Token)
			c.Hold(d.Token, 1)
		}
		for range 3 {
			require.ErrorIs(t, p.Produce(second, textEvent("more")), event.ErrFull)
		}
		k.ack(c, ds[0])
		k.produce("a", textEvent("in its place"))
		d := k.receive(c, 1)[0]
		_, _ = c.Begin(d.Token)
		c.Hold(d.Token, 1)
		require.NoError(t, p.Produce(second, textEvent("more")))
	})
}

// A delivery that was given back doesn't wait for room any more.
func TestOverTheBoundWhenAnotherWasGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2), memory.Reserve(0))
		c := k.join("g", "a")
		k.produce("a", events(2)...)
		ds := k.receive(c, 2)
		first, _ := c.Begin(ds[0].Token)
		second, _ := c.Begin(ds[1].Token)
		p := k.producer("a")
		require.ErrorIs(t, p.Produce(second, textEvent("more")), event.ErrFull)
		k.settle(c, event.Retry(ds[1].Token, time.Hour, 1))
		require.NoError(t, p.Produce(first, textEvent("more")))
	})
}

// Who asks for too much, or doesn't ask any more, keeps the others from nothing.
func TestOverTheBoundWhenTheNewestCannot(t *testing.T) {
	for name, c := range map[string]struct{ asks, tries int }{
		"asks for too much": {memory.MaxOverBound + 1, 1},
		"asks no more":      {1, 20},
	} {
		synctest.Test(t, func(t *testing.T) {
			k := newKit(t, memory.Capacity(2), memory.Reserve(20))
			c2 := k.join("g", "a")
			k.produce("a", events(2)...)
			ds := k.receive(c2, 2)
			first, _ := c2.Begin(ds[0].Token)
			second, _ := c2.Begin(ds[1].Token)
			p := k.producer("a")
			require.NoError(t, p.Produce(second, events(20)...))
			for _, d := range k.receive(c2, 20) {
				_, _ = c2.Begin(d.Token)
				c2.Hold(d.Token, 1)
			}
			require.ErrorIs(t, p.Produce(second, events(c.asks)...), event.ErrFull)
			c2.Hold(ds[1].Token, 0)
			tries := 1
			for p.Produce(first, textEvent("more")) != nil {
				tries++
				require.Less(t, tries, 100, name)
			}
			require.LessOrEqual(t, tries, c.tries, name)
			require.Equal(t, 1, k.HighestOverBound())
		})
	}
}

// An event that comes again and again without end is no progress to wait for.
func TestOverTheBoundDespiteEndlessRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(2), memory.Reserve(0))
		c := k.join("g", "a")
		k.produce("a", events(2)...)
		ds := k.receive(c, 2)
		begun, _ := c.Begin(ds[1].Token)
		p := k.producer("a")
		for tries := 1; ; tries++ {
			k.settle(c, event.Retry(ds[0].Token, 0, tries))
			if p.Produce(handling(begun, ds[1]), textEvent("more")) == nil {
				break
			}
			require.Less(t, tries, 10)
			ds[0] = k.receive(c, 1)[0]
		}
	})
}

// worker is a tiny bus: it runs handlers that publish, sends what they published
// when they have returned, and holds the delivery while there is no room.
type worker struct {
	k      kit
	c      event.Consumer
	handle func(event.Event) (topic string, out []event.Event)
	limit  int // deliveries in hand, those that wait for room not counted
	runs   *atomic.Int64
}

func (w *worker) run(ctx context.Context) {
	type held struct {
		d     event.Delivery
		topic string
		out   []event.Event
	}
	var waiting []held
	try := func(d event.Delivery, topic string, out []event.Event) bool {
		begun, ok := w.c.Begin(d.Token)
		if !ok {
			panic("lost")
		}
		if len(out) > 0 {
			err := w.k.producer(topic).Produce(handling(begun, d), out...)
			if errors.Is(err, event.ErrFull) {
				w.c.Hold(d.Token, 0)
				return false
			}
			if err != nil {
				panic(err)
			}
		}
		return w.c.Settle(ctx, []event.Settlement{event.Ack(d.Token)}) == nil
	}
	buf := make([]event.Delivery, w.limit)
	for ctx.Err() == nil {
		wait, cancel := ctx, context.CancelFunc(func() {})
		if len(waiting) > 0 {
			wait, cancel = context.WithTimeout(ctx, time.Millisecond)
		}
		n, _ := w.c.Receive(wait, buf)
		cancel()
		for _, d := range buf[:n] {
			w.runs.Add(1)
			topic, out := w.handle(d.Event)
			if !try(d, topic, out) {
				waiting = append(waiting, held{d, topic, out})
			}
		}
		again := waiting[:0]
		for _, h := range waiting {
			if !try(h.d, h.topic, h.out) {
				again = append(again, h)
			}
		}
		waiting = again
	}
}

// tree publishes fan events for each, to the topics in turn, until depth is reached.
func tree(topics []string, fan, depth int) func(event.Event) (string, []event.Event) {
	return func(e event.Event) (string, []event.Event) {
		level := len(e.Data())
		if level == depth {
			return "", nil
		}
		out := make([]event.Event, fan)
		for i := range out {
			out[i] = event.New("/tree", "node", append(e.Data(), 'x'))
		}
		return topics[(level+1)%len(topics)], out
	}
}

// Handlers that publish into full topics never hang, whatever feeds what, and stay
// within the promised bound: that all that waited needed more happens hardly ever, when
// a handler's goroutine doesn't run for long.
func TestLiveness(t *testing.T) {
	further := 0
	defer func() { require.LessOrEqual(t, further, 1, "cases that went further over the bound") }()
	for _, c := range []struct {
		name              string
		topics            []string
		fan, depth, roots int
		capacity, reserve int
		members           int
	}{
		{"itself, a chain", []string{"a"}, 1, 50, 200, 8, 2, 1},
		{"itself", []string{"a"}, 2, 8, 40, 16, 4, 1},
		{"itself, hardly any room", []string{"a"}, 2, 8, 10, 1, 0, 3},
		{"each other, a chain", []string{"a", "b"}, 1, 50, 200, 8, 2, 2},
		{"each other", []string{"a", "b"}, 2, 8, 40, 16, 4, 2},
		{"three in a ring", []string{"a", "b", "c"}, 2, 8, 40, 16, 4, 1},
		{"wide", []string{"a"}, 3, 5, 40, 16, 4, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var most atomic.Int64
				k := newKit(t, memory.Capacity(c.capacity), memory.Reserve(c.reserve),
					memory.OnOverBound(func(_ string, over int) { most.Store(max(most.Load(), int64(over))) }))
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var runs atomic.Int64
				grow := tree(c.topics, c.fan, c.depth)
				for _, topic := range c.topics {
					for range c.members {
						c := k.subscribe(event.Subscription{Group: "g-" + topic, Topics: []string{topic}, InFlight: 4})
						w := worker{k, c, grow, 4, &runs}
						go w.run(ctx)
					}
				}
				for range c.roots {
					k.produce(c.topics[0], event.New("/tree", "node", nil))
				}
				quiet, stop := context.WithTimeout(ctx, 10*time.Minute)
				defer stop()
				require.NoError(t, k.Quiet(quiet))
				want, level := 0, 1
				for range c.depth + 1 {
					want += level
					level *= c.fan
				}
				require.Equal(t, want*c.roots, int(runs.Load()), "each event is handled once")
				if memory.NeededMore(k.Channel) {
					further++
				} else {
					require.LessOrEqual(t, k.HighestOverBound(), memory.MaxOverBound)
				}
				require.Equal(t, k.HighestOverBound(), int(most.Load()))
				if c.fan > 1 {
					require.Positive(t, most.Load(), "the test must need it")
				}
			})
		})
	}
}

// Only what nothing else can help goes over the bound.
func TestOverTheBoundOnlyWhenNothingElseMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.Capacity(4), memory.Reserve(0))
		c := k.join("g", "a")
		k.produce("a", events(4)...)
		ds := k.receive(c, 2)
		first, _ := c.Begin(ds[0].Token)
		second, _ := c.Begin(ds[1].Token)
		p := k.producer("a")
		publish := func(ctx context.Context, d event.Delivery) error {
			return p.Produce(handling(ctx, d), textEvent("more"))
		}
		require.ErrorIs(t, publish(first, ds[0]), event.ErrFull, "the second runs")
		require.ErrorIs(t, publish(first, ds[0]), event.ErrFull, "the second runs")
		require.ErrorIs(t, publish(second, ds[1]), event.ErrFull, "two wait to be delivered")
		rest := k.receive(c, 2)
		require.ErrorIs(t, publish(second, ds[1]), event.ErrFull, "two were delivered just now")
		k.ack(c, rest...)
		require.NoError(t, publish(first, ds[0]), "there is room")
		require.NoError(t, publish(first, ds[0]), "there is room")
		more := k.receive(c, 4)
		for _, d := range more {
			_, _ = c.Begin(d.Token)
			c.Hold(d.Token, 1) // for a retry
		}
		require.ErrorIs(t, publish(first, ds[0]), event.ErrFull, "the second is newer")
		require.NoError(t, publish(second, ds[1]), "everything else is held")
		require.Equal(t, 1, k.HighestOverBound())
		require.ErrorIs(t, publish(second, ds[1]), event.ErrFull, "one at a time")
	})
}
