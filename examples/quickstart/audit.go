package main

import (
	"context"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// audit records every event of both topics, whatever its type and its data.
type audit struct {
	trail []record
	order order
}

// record is what is kept of an event.
type record struct{ id, typ, repository, cause string }

func newAudit(b *bus.Bus) *audit {
	a := new(audit)
	bus.SubscribeRaw(b, "audit", nil, func(ctx context.Context, e event.Event) error {
		a.trail = append(a.trail, record{e.ID(), e.Type(), e.Key(), e.Extension(event.ExtCausationID)})
		if info, _ := event.FromContext(ctx); info.Topic == topic {
			a.order.see(info)
		}
		return nil
	}, bus.Topic(topic), bus.Topic(notifications))
	return a
}
