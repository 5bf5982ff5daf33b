package main

import (
	"context"
	"fmt"
	"log"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// GetActivity asks what happened in a repository.
type GetActivity struct{ Repository string }

// Activity is what happened there, by type of delivery.
type Activity map[string]int

// The projection as a read model that is asked by query: it has each delivery once, however
// often it comes.
func Example_activity() {
	ctx := context.Background()
	deliveries, err := readDeliveries()
	if err != nil {
		log.Fatal(err)
	}
	b := bus.New(bus.Config{Channel: memory.New()})
	model := query.NewMemory(query.MemoryConfig{})
	counts := query.NewTable[place, int](model)
	p := query.Project(b, "activity", model)
	query.ApplyRaw(p, nil, func(ctx context.Context, e event.Event) error {
		at := place{e.Key(), e.Type()}
		n, _ := counts.Get(ctx, at)
		return counts.Put(ctx, at, n+1)
	}, bus.Topic(topic), bus.Workers(4))
	query.Handle(b, func(ctx context.Context, q GetActivity) (Activity, error) {
		a := make(Activity)
		for at, n := range counts.All(ctx) {
			if at.repository == q.Repository {
				a[at.typ] = n
			}
		}
		return a, nil
	})
	if err := b.Start(ctx); err != nil {
		log.Fatal(err)
	}
	for _, d := range deliveries {
		if err := b.Publish(ctx, d.event(), bus.Topic(topic)); err != nil {
			log.Fatal(err)
		}
	}
	last := deliveries[len(deliveries)-1]
	if err := p.Wait(ctx, last.id); err != nil { // until the last one can be seen, and all before
		log.Fatal(err)
	}
	a, err := query.Ask[Activity](ctx, b, GetActivity{Repository: "Codertocat/Hello-World"})
	fmt.Println(a["push"], a["issues"], a["pull_request"], err)
	// Output: 7 28 29 <nil>
}
