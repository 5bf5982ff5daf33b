package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// scale returns n, or less where the test runs with the race detector or in short.
func scale(n int) int {
	if raceEnabled || testing.Short() {
		return n / 10
	}
	return n
}

// ledger checks the order of each key, and that each event is handled once.
type ledger struct {
	mu   sync.Mutex
	next map[string]int
	seen int
}

// handle notes an event of a key, whose data is its number.
func (l *ledger) handle(d event.Delivery) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen++
	key := d.Event.Key()
	if key == "" {
		return nil
	}
	if n := l.next[key]; string(d.Event.Data()) != fmt.Sprint(n) {
		return fmt.Errorf("%s of key %s came when %d was next", d.Event.Data(), key, n)
	}
	l.next[key]++
	return nil
}

// Members come, go and crash, give back and retry, while publishers run into the
// bound: everything is handled once and in order.
func TestStress(t *testing.T) {
	for _, members := range []int{1, 4} {
		t.Run(fmt.Sprint("members=", members), func(t *testing.T) { stress(t, members) })
	}
}

func stress(t *testing.T, members int) {
	t.Helper()
	const publishers, keys, groups = 4, 200, 2
	each := scale(40000)
	k := newKit(t, memory.Capacity(300), memory.Lease(5*time.Millisecond))
	ctx, cancel := context.WithCancel(context.Background())
	var wg, pub sync.WaitGroup
	errs := make(chan error, 100)
	ledgers := make([]*ledger, groups)
	for g := range groups {
		l := &ledger{next: map[string]int{}}
		ledgers[g] = l
		require.NoError(t, k.EnsureGroup(ctx, fmt.Sprint(g), event.Start{}, "t"))
		for i := range members {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(g), uint64(i)))
				for ctx.Err() == nil {
					k.stressMember(ctx, fmt.Sprint(g), l, r, errs)
				}
			})
		}
	}
	for p := range publishers {
		pub.Go(func() {
			r := rand.New(rand.NewPCG(99, uint64(p)))
			next := map[string]int{}
			for made := 0; made < each; {
				var batch []event.Event
				for range min(1+r.IntN(8), each-made) {
					a := event.Attributes{Source: "/stress", Type: "t"}
					if r.IntN(4) > 0 {
						a.Key = fmt.Sprint(p, "-", r.IntN(keys))
						a.Data = fmt.Append(nil, next[a.Key])
						next[a.Key]++
					} else if r.IntN(50) == 0 {
						a.NotBefore = time.Now().Add(time.Millisecond)
					}
					batch = append(batch, a.Event())
				}
				made += len(batch)
				if err := k.producer("t").Produce(ctx, batch...); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		pub.Wait()
		_ = k.Quiet(ctx)
		close(done)
	}()
	select {
	case <-done:
	case err := <-errs:
		t.Error(err)
	case <-time.After(2 * time.Minute):
		t.Error("it hangs")
	}
	cancel()
	wg.Wait()
	for g, l := range ledgers {
		require.GreaterOrEqual(t, l.seen, publishers*each, "group %d", g)
		lag, err := k.Lag(context.Background(), "t", fmt.Sprint(g))
		require.NoError(t, err)
		require.Equal(t, event.Lag{}, lag)
	}
}

// stressMember is one life of a member: it handles some events, and leaves.
func (k kit) stressMember(ctx context.Context, group string, l *ledger, r *rand.Rand, errs chan<- error) {
	c, err := k.Consumer(ctx, event.Subscription{Group: group, Topics: []string{"t"}, InFlight: 1 + r.IntN(64)})
	if err != nil {
		return
	}
	buf := make([]event.Delivery, 32)
	for range r.IntN(400) {
		n, err := c.Receive(ctx, buf[:1+r.IntN(32)])
		if err != nil {
			break
		}
		var ss []event.Settlement
		back := map[string]bool{} // keys whose rest must go back
		for _, d := range buf[:n] {
			if key := d.Event.Key(); key != "" && back[key] {
				ss = append(ss, event.Release(d.Token))
				continue
			}
			if _, ok := c.Begin(d.Token); !ok {
				continue
			}
			switch r.IntN(40) {
			case 0:
				back[d.Event.Key()] = true
				ss = append(ss, event.Retry(d.Token, time.Duration(r.IntN(3))*time.Millisecond, 1))
			case 1:
				back[d.Event.Key()] = true
				ss = append(ss, event.Release(d.Token))
			default:
				if err := l.handle(d); err != nil {
					select {
					case errs <- err:
					default:
					}
				}
				ss = append(ss, event.Ack(d.Token))
			}
		}
		if err := c.Settle(ctx, ss); err != nil {
			select {
			case errs <- err:
			default:
			}
		}
	}
	if r.IntN(4) == 0 {
		k.Crash(c) // nothing that was handled is unsettled
		return
	}
	_ = c.Close(context.Background())
}

// Many events leave nothing behind.
func TestHeapAfterManyEvents(t *testing.T) {
	n := scale(1000000)
	k := newKit(t)
	ctx := context.Background()
	var handled atomic.Int64
	var wg sync.WaitGroup
	for g := range 3 {
		c := k.join(fmt.Sprint(g), "t")
		wg.Go(func() {
			buf := make([]event.Delivery, 64)
			acks := make([]event.Settlement, 0, 64)
			for handled.Load() < int64(3*n) {
				got, err := c.Receive(ctx, buf)
				if err != nil {
					return
				}
				acks = acks[:0]
				for _, d := range buf[:got] {
					_, _ = c.Begin(d.Token)
					acks = append(acks, event.Ack(d.Token))
				}
				_ = c.Settle(ctx, acks)
				clear(buf)
				handled.Add(int64(got))
			}
		})
	}
	p := k.producer("t")
	before := heap()
	data := make([]byte, 256)
	for range n {
		_ = p.Produce(ctx, event.New("/s", "t", data).One()...)
	}
	require.NoError(t, k.Quiet(ctx))
	after := heap()
	t.Logf("live heap %d KiB before, %d KiB after %d events", before>>10, after>>10, n)
	require.Less(t, int64(after)-int64(before), int64(256<<10))
	_ = k.Close(ctx)
	wg.Wait()
}

// What is settled is let go at once, not when its place is needed again.
func TestHeapLetsGoOfSettledEvents(t *testing.T) {
	k := newKit(t)
	c := k.join("g", "t")
	before := heap()
	for range 20 {
		k.produce("t", event.New("/s", "t", make([]byte, 1<<20)))
	}
	k.settleSome(c, 20, func(d event.Delivery) event.Settlement { return event.Ack(d.Token) })
	require.Less(t, int64(heap())-int64(before), int64(1<<20))
	require.NoError(t, c.Close(context.Background()))
}

// A burst that piles up and is worked off leaves nothing behind either.
func TestHeapAfterABurst(t *testing.T) {
	const burst = 20000
	k := newKit(t, memory.Capacity(burst))
	a, b := k.join("g", "t"), k.join("g", "t")
	before := heap()
	for i := range burst {
		k.texts("t", fmt.Sprint(i, ":"))
	}
	k.settleSome(a, burst, func(d event.Delivery) event.Settlement { return event.Retry(d.Token, time.Millisecond, 1) })
	k.settleSome(b, burst, func(d event.Delivery) event.Settlement { return event.Ack(d.Token) })
	require.Empty(t, k.receive(b, 1))
	after := heap()
	t.Logf("live heap %d KiB before, %d KiB after", before>>10, after>>10)
	require.Less(t, int64(after)-int64(before), int64(256<<10))
}

// settleSome settles n deliveries.
func (k kit) settleSome(c event.Consumer, n int, how func(event.Delivery) event.Settlement) {
	k.t.Helper()
	buf := make([]event.Delivery, n)
	ss := make([]event.Settlement, 0, n)
	for n > 0 {
		got, err := c.Receive(context.Background(), buf)
		require.NoError(k.t, err)
		n -= got
		ss = ss[:0]
		for _, d := range buf[:got] {
			ss = append(ss, how(d))
		}
		k.settle(c, ss...)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
