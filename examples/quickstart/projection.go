package main

import (
	"context"
	"sync"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// projection counts deliveries per repository and type.
type projection struct {
	mu     sync.Mutex // four workers count
	counts map[place]int
	order  order
}

// place is what is counted by.
type place struct{ repository, typ string }

// newProjection subscribes the group: with Go types for three types, and with one
// handler for all others, which don't need decoding.
func newProjection(b *bus.Bus) *projection {
	p := &projection{counts: make(map[place]int)}
	workers := bus.Workers(4) // four repositories at once, each in order
	bus.Subscribe(b, "projection", func(ctx context.Context, e Push) error {
		return p.count(ctx, e.Repository.FullName)
	}, workers)
	bus.Subscribe(b, "projection", func(ctx context.Context, e Issues) error {
		return p.count(ctx, e.Repository.FullName)
	}, workers)
	bus.Subscribe(b, "projection", func(ctx context.Context, e PullRequest) error {
		return p.count(ctx, e.Repository.FullName)
	}, workers)
	bus.SubscribeRaw(b, "projection", nil, func(ctx context.Context, e event.Event) error {
		return p.count(ctx, e.Key())
	}, bus.Topic(topic), workers)
	return p
}

func (p *projection) count(ctx context.Context, repository string) error {
	info, _ := event.FromContext(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts[place{repository, info.Event.Type()}]++
	p.order.see(info)
	return nil
}
