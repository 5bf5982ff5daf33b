package memory_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

var payload = make([]byte, 256)

func newEvent() event.Event { return event.New("/shop", "order-placed", payload) }

// BenchmarkChannel is what the engine is compared with: a plain channel of created
// events.
func BenchmarkChannel(b *testing.B) {
	b.ReportAllocs()
	ch := make(chan event.Event, 1024)
	var wg sync.WaitGroup
	wg.Go(func() {
		for range ch {
		}
	})
	for b.Loop() {
		ch <- newEvent()
	}
	close(ch)
	wg.Wait()
}

// BenchmarkOneByOne is the whole life of an event on one goroutine.
func BenchmarkOneByOne(b *testing.B) {
	b.ReportAllocs()
	ctx := context.Background()
	ch := memory.New()
	c, _ := ch.Consumer(ctx, event.Subscription{Group: "g", Topics: []string{"t"}})
	p, _ := ch.Producer(ctx, "t")
	buf := make([]event.Delivery, 1)
	acks := make([]event.Settlement, 1)
	for b.Loop() {
		if p.Produce(ctx, newEvent().One()...) != nil {
			b.Fatal()
		}
		if n, err := c.Receive(ctx, buf); n != 1 || err != nil {
			b.Fatal(n, err)
		}
		if _, ok := c.Begin(buf[0].Token); !ok {
			b.Fatal()
		}
		acks[0] = event.Ack(buf[0].Token)
		if err := c.Settle(ctx, acks); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkStream is one producer, and members that settle what a Receive brought.
func BenchmarkStream(b *testing.B) {
	for _, groups := range []int{1, 3} {
		for _, members := range []int{1, 2} {
			for _, keyed := range []bool{false, true} {
				b.Run(fmt.Sprintf("groups=%d/members=%d/keyed=%v", groups, members, keyed), func(b *testing.B) {
					stream(b, groups, members, keyed)
				})
			}
		}
	}
}

func stream(b *testing.B, groups, members int, keyed bool) {
	b.Helper()
	b.ReportAllocs()
	ctx := context.Background()
	ch := memory.New()
	var wg sync.WaitGroup
	for g := range groups {
		for range members {
			c, _ := ch.Consumer(ctx, event.Subscription{Group: fmt.Sprint(g), Topics: []string{"t"}})
			wg.Go(func() { work(c) })
		}
	}
	p, _ := ch.Producer(ctx, "t")
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprint("customer-", i)
	}
	i := 0
	for b.Loop() {
		key := ""
		if keyed {
			key = keys[i%len(keys)]
		}
		i++
		e := event.Attributes{Source: "/shop", Type: "order-placed", Key: key, Data: payload}.Event()
		if p.Produce(ctx, e.One()...) != nil {
			b.Fatal()
		}
	}
	_ = ch.Quiet(ctx)
	b.StopTimer()
	_ = ch.Close(ctx)
	wg.Wait()
}

// work handles everything until the channel is closed.
func work(c event.Consumer) {
	ctx := context.Background()
	buf := make([]event.Delivery, 64)
	acks := make([]event.Settlement, 0, 64)
	for {
		n, err := c.Receive(ctx, buf)
		if err != nil {
			return
		}
		acks = acks[:0]
		for _, d := range buf[:n] {
			if _, ok := c.Begin(d.Token); ok {
				acks = append(acks, event.Ack(d.Token))
			}
		}
		if c.Settle(ctx, acks) != nil {
			return
		}
	}
}
