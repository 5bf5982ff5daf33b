package main

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// repair lists the dead letters of the groups that decode, repairs each with the
// original payload, and drives it again: to its group only.
func repair(ctx context.Context, b *bus.Bus, deliveries []delivery, p *progress) error {
	originals := make(map[string]delivery)
	for _, d := range deliveries {
		originals[d.id] = d
	}
	for _, group := range []string{"projection", "notifier"} {
		for dead, err := range b.DeadLetters(ctx, group) {
			if err != nil {
				return err
			}
			e := dead.Event
			p.sayf("dead letter of %s: %s: %s", group, e.ID(), dead.Cause.Text)
			original, ok := originals[e.ID()]
			if !ok {
				return fmt.Errorf("dead letter %s: not in the file", e.ID())
			}
			repaired := e.WithID(e.ID()+"-repaired").
				WithExtension(event.ExtCausationID, e.ID()).
				WithData("application/json", original.Payload)
			if err := b.Redrive(ctx, dead, repaired); err != nil {
				return err
			}
			p.sayf("repaired and redriven to %s as %s", group, repaired.ID())
		}
	}
	return nil
}
