package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// subscribe returns a consumer of a group on the topic "orders".
func subscribe(ch *memory.Channel, group string) event.Consumer {
	c, err := ch.Consumer(context.Background(), event.Subscription{Group: group, Topics: []string{"orders"}})
	if err != nil {
		log.Fatal(err)
	}
	return c
}

// publish produces an event with some text to the topic "orders".
func publish(ctx context.Context, ch *memory.Channel, text string) error {
	p, err := ch.Producer(ctx, "orders")
	if err != nil {
		return err
	}
	return p.Produce(ctx, event.New("/shop", "order-placed", []byte(text)))
}

// receive waits for one delivery.
func receive(c event.Consumer) event.Delivery {
	buf := make([]event.Delivery, 1)
	if _, err := c.Receive(context.Background(), buf); err != nil {
		log.Fatal(err)
	}
	return buf[0]
}

// What a bus does with the engine, by hand.
func Example() {
	ctx := context.Background()
	ch := memory.New()
	c := subscribe(ch, "mailer")
	if err := publish(ctx, ch, "order 42"); err != nil {
		log.Fatal(err)
	}

	d := receive(c)
	if _, ok := c.Begin(d.Token); ok {
		fmt.Printf("attempt %d of %s\n", d.Attempt, d.Event.Data())
	}
	_ = c.Settle(ctx, []event.Settlement{event.Retry(d.Token, time.Millisecond, 1)})

	d = receive(c)
	fmt.Printf("attempt %d of %s after %d failure\n", d.Attempt, d.Event.Data(), d.Failures)
	_ = c.Settle(ctx, []event.Settlement{event.Ack(d.Token)})
	fmt.Println("quiet:", ch.Quiet(ctx))
	// Output:
	// attempt 1 of order 42
	// attempt 2 of order 42 after 1 failure
	// quiet: <nil>
}

// A group that is behind holds publishers up; the error tells which group it is.
func ExampleCapacity() {
	ch := memory.New(memory.Capacity(1))
	subscribe(ch, "mailer")
	_ = publish(context.Background(), ch, "the first fits")

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	err := publish(ctx, ch, "the second does not")
	if full, ok := errors.AsType[*event.FullError](err); ok {
		fmt.Printf("%s on %s has %d unsettled\n", full.Group, full.Topic, full.Waiting)
	}
	// Output: mailer on orders has 1 unsettled
}

// A handler's publish does not wait: it has the reserve, and then ErrFull.
func ExampleReserve() {
	ch := memory.New(memory.Capacity(2), memory.Reserve(1))
	c := subscribe(ch, "mailer")
	_ = publish(context.Background(), ch, "one")
	_ = publish(context.Background(), ch, "two")

	ctx, _ := c.Begin(receive(c).Token)
	fmt.Println(publish(ctx, ch, "three"))
	fmt.Println(publish(ctx, ch, "four"))
	// Output:
	// <nil>
	// event: topic "orders" is full: group "mailer" has 3 events unsettled, bound 3
}

// When nothing else can move, a publish goes over the bound, and the hook says so.
func ExampleOnOverBound() {
	ch := memory.New(memory.Capacity(1), memory.Reserve(0), memory.OnOverBound(func(topic string, over int) {
		fmt.Println(topic, "is over its bound by", over)
	}))
	c := subscribe(ch, "mailer")
	_ = publish(context.Background(), ch, "one")

	ctx, _ := c.Begin(receive(c).Token)
	fmt.Println(publish(ctx, ch, "two"))
	// Output:
	// orders is over its bound by 1
	// <nil>
}

// The last events of a topic are there for groups that come later.
func ExampleRetain() {
	ch := memory.New(memory.Retain(2))
	for _, text := range []string{"one", "two", "three"} {
		_ = publish(context.Background(), ch, text)
	}
	late := subscribe(ch, "late")
	fmt.Printf("%s, %s\n", receive(late).Event.Data(), receive(late).Event.Data())
	// Output: two, three
}

// A test lets a consumer crash: its deliveries go to another when the lease is over.
func ExampleLease() {
	ch := memory.New(memory.Lease(time.Millisecond))
	victim, other := subscribe(ch, "mailer"), subscribe(ch, "mailer")
	_ = publish(context.Background(), ch, "order 42")
	ctx, _ := victim.Begin(receive(victim).Token)
	ch.Crash(victim)

	d := receive(other)
	fmt.Println(d.Attempt, context.Cause(ctx))
	// Output: 2 event: lease lost
}

// Nothing is dropped when the dead letters are full: the delivery stays in hand.
func ExampleDeadCapacity() {
	ctx := context.Background()
	ch := memory.New(memory.DeadCapacity(1))
	c := subscribe(ch, "mailer")
	for range 2 {
		_ = publish(ctx, ch, "poison")
		err := c.Settle(ctx, []event.Settlement{event.Dead(receive(c).Token, event.Cause{Code: "poison"})})
		fmt.Println(errors.Is(err, event.ErrFull))
	}
	lag, _ := ch.Lag(ctx, "orders", "mailer")
	fmt.Println(lag.Dead, "dead,", lag.InHand, "in hand")
	// Output:
	// false
	// true
	// 1 dead, 1 in hand
}

// With Encode an event is what a broker would make of it.
func ExampleEncode() {
	ch := memory.New(memory.Encode())
	c := subscribe(ch, "mailer")
	p, _ := ch.Producer(context.Background(), "orders")
	e := event.New("/shop", "order-placed", []byte("order 42"))
	_ = p.Produce(context.Background(), e)
	d := receive(c)
	fmt.Println("the same event:", d.Event == e)
	fmt.Println("an equal event:", d.Event.Equal(e))
	// Output:
	// the same event: false
	// an equal event: true
}

// Dead letters are looked at, repaired and sent again.
func ExampleChannel_Redrive() {
	ctx := context.Background()
	ch := memory.New()
	c := subscribe(ch, "mailer")
	_ = publish(ctx, ch, "ordre 42")
	_ = c.Settle(ctx, []event.Settlement{event.Dead(receive(c).Token, event.Cause{Code: "decode", Text: "a typo"})})

	for l, err := range ch.DeadLetters(ctx, "orders", "mailer") {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s\n", l.Event.Data(), l.Cause.Text)
		repaired := l.Event.WithID(event.NewID()).WithData("text/plain", []byte("order 42"))
		if err := ch.Redrive(ctx, l, repaired); err != nil {
			log.Fatal(err)
		}
	}
	d := receive(c)
	fmt.Printf("%s, redriven: %v\n", d.Event.Data(), d.Redriven)
	// Output:
	// ordre 42: a typo
	// order 42, redriven: true
}
