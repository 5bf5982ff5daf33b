package memory_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// parkers handle numbered events of keys: of each key they must see them in order and
// without a gap, whatever is parked, redriven and discarded meanwhile.
type parkers struct {
	kit

	mu     sync.Mutex
	next   map[string]int
	errs   chan error
	ended  atomic.Int64 // events that were handled or discarded
	parked atomic.Int64
	full   atomic.Int64 // parks that found no room
	lost   atomic.Int64 // deliveries that were taken away
}

func (p *parkers) failed(err error) {
	select {
	case p.errs <- err:
	default: // the first ones are enough
	}
}

// end counts the next event of a key.
func (p *parkers) end(e event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := e.Key()
	if want := fmt.Sprint(key, ":", p.next[key]); string(e.Data()) != want {
		p.failed(fmt.Errorf("%s came, want %s", e.Data(), want))
	}
	p.next[key]++
	p.ended.Add(1)
}

// settle ends a delivery, or gives it back with all of its key that came with it.
func (p *parkers) settle(c event.Consumer, d event.Delivery, rest []event.Delivery, r *rand.Rand) {
	ctx := context.Background()
	switch r.IntN(30) {
	case 0:
		err := c.Settle(ctx, []event.Settlement{event.Park(d.Token, failed)})
		if err == nil {
			p.parked.Add(1)
			return
		}
		if !errors.Is(err, event.ErrFull) {
			p.failed(err)
		}
		p.full.Add(1)
		fallthrough
	case 1:
		ss := []event.Settlement{event.Retry(d.Token, time.Duration(r.IntN(2))*time.Millisecond, 1)}
		for _, o := range rest {
			if o.Event.Key() == d.Event.Key() {
				ss = append(ss, event.Release(o.Token))
			}
		}
		if err := c.Settle(ctx, ss); err != nil {
			p.failed(err)
		}
	default:
		p.end(d.Event)
		if err := c.Settle(ctx, []event.Settlement{event.Ack(d.Token)}); err != nil {
			p.failed(err)
		}
	}
}

// work handles about n deliveries and leaves, with some in hand.
func (p *parkers) work(ctx context.Context, n int, r *rand.Rand) {
	lost := func(ts []event.Token) { p.lost.Add(int64(len(ts))) }
	c, err := p.Consumer(ctx, event.Subscription{Group: "g", Topics: []string{"t"}, InFlight: 20, OnLost: lost})
	if err != nil {
		return
	}
	buf := make([]event.Delivery, 8)
	for n > 0 {
		got, err := c.Receive(ctx, buf)
		if err != nil {
			break
		}
		for i, d := range buf[:min(got, n)] {
			if _, ok := c.Begin(d.Token); ok { // else it was taken away or given back
				p.settle(c, d, buf[i+1:got], r)
			}
		}
		n -= got
	}
	if r.IntN(4) == 0 {
		p.Crash(c)
		return
	}
	if err := c.Close(context.Background()); err != nil {
		p.failed(err)
	}
}

// look checks what is parked, and lets a key go on in one way or another.
func (p *parkers) look(ctx context.Context, key string, r *rand.Rand) {
	var fronts []event.DeadLetter
	last := map[string]int64{}
	for l, err := range p.DeadLetters(ctx, "t", "g") {
		if err != nil {
			p.failed(err)
			return
		}
		k := l.Event.Key()
		if l.Position.Offset < last[k] {
			p.failed(fmt.Errorf("%s is parked behind a later one", l.Event.Data()))
		}
		if last[k] == 0 && k == key {
			fronts = append(fronts, l)
		}
		last[k] = l.Position.Offset
	}
	if len(fronts) == 0 {
		return
	}
	var err error
	switch r.IntN(3) {
	case 0:
		_, err = p.RedriveKey(ctx, "t", "g", key)
	case 1:
		err = p.Redrive(ctx, fronts[0])
	default:
		p.end(fronts[0].Event)
		err = p.Discard(ctx, fronts[0])
	}
	if err != nil {
		p.failed(err)
	}
}

// Members come, go and crash while keys are parked and go on: everything is handled
// once and in order.
func TestParkUnderLoad(t *testing.T) {
	for name, room := range map[string]int{"room for all": 1 << 20, "a full store": 40} {
		t.Run(name, func(t *testing.T) { parkUnderLoad(t, room) })
	}
}

func parkUnderLoad(t *testing.T, room int) {
	t.Helper()
	const keys = 12
	each := max(scale(600), 300)
	total := int64(keys * each)
	p := &parkers{
		kit:  newKit(t, memory.Capacity(400), memory.DeadCapacity(room), memory.Lease(2*time.Millisecond)),
		next: make(map[string]int),
		errs: make(chan error, 3),
	}
	require.NoError(t, p.EnsureGroup(t.Context(), "g", event.Newest(), "t"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for i := range 3 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for ctx.Err() == nil {
				p.work(ctx, 50+r.IntN(200), r)
			}
		})
	}
	for half := range 2 {
		wg.Go(func() {
			producer := p.producer("t")
			for i := range each * keys / 2 {
				e := textEvent(fmt.Sprintf("k%d:%d", i%(keys/2)*2+half, i/(keys/2)))
				if err := producer.Produce(ctx, e); err != nil {
					p.failed(err)
					return
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 1))
	tick := time.NewTicker(200 * time.Microsecond)
	defer tick.Stop()
	for p.ended.Load() < total && len(p.errs) == 0 && ctx.Err() == nil {
		<-tick.C
		p.look(ctx, fmt.Sprint("k", r.IntN(keys)), r)
	}
	stuck := ctx.Err()
	cancel()
	wg.Wait()
	close(p.errs)
	require.NoError(t, <-p.errs)
	require.NoError(t, stuck, "it hangs at %d of %d", p.ended.Load(), total)
	require.Equal(t, total, p.ended.Load())
	require.NotZero(t, p.parked.Load())
	require.NotZero(t, p.lost.Load())
	require.NoError(t, p.Quiet(t.Context()))
	require.Empty(t, p.letters("t", "g"))
	t.Logf("parked %d, refused %d, taken away %d", p.parked.Load(), p.full.Load(), p.lost.Load())
}
