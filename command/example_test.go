package command_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

type PlaceOrder struct{ Item string }

type Receipt struct{ Number string }

var ErrSoldOut = event.NewError("sold_out", "there is none left")

func Example() {
	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	command.HandleResult(b, func(_ context.Context, c PlaceOrder) (Receipt, error) {
		if c.Item == "moon" {
			return Receipt{}, ErrSoldOut
		}
		return Receipt{Number: "42"}, nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	r, err := command.Do[Receipt](ctx, b, PlaceOrder{Item: "tea"})
	fmt.Println(r.Number, err)
	_, err = command.Do[Receipt](ctx, b, PlaceOrder{Item: "moon"})
	fmt.Println(errors.Is(err, ErrSoldOut), err)
	// Output:
	// 42 <nil>
	// true there is none left (sold_out)
}

// What became of a command is in a store of operations, which others can watch.
func ExampleSend() {
	ctx := context.Background()
	b := bus.New(bus.Config{Channel: memory.New()})
	ops := command.NewMemory(command.MemoryConfig{})
	command.Use(b, command.Config{Operations: ops})
	command.Handle(b, func(ctx context.Context, _ PlaceOrder) error {
		return command.Progress(ctx, 50, "packing")
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	id, err := command.Send(ctx, b, PlaceOrder{Item: "tea"})
	if err != nil {
		log.Fatal(err)
	}
	var last command.Operation
	for o, err := range command.Watch(ctx, ops, id, 0) {
		if err != nil {
			log.Fatal(err)
		}
		last = o
	}
	fmt.Println(last.State, last.Progress.Note)
	// Output: succeeded packing
}
