package kafka

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/event"
)

var _ event.Seeker = (*Channel)(nil)

// Seek implements [event.Seeker]. What is in the group's redrive topic stays owed.
func (ch *Channel) Seek(ctx context.Context, topic, group string, start event.Start) error {
	adm, err := ch.admin()
	if err != nil {
		return err
	}
	if err := checkGroup(group, topic); err != nil {
		return err
	}
	at, err := ch.offsets(ctx, adm, start, []string{topic})
	if err != nil {
		return err
	}
	err = commitAt(ctx, adm, group, at)
	switch {
	case err == nil:
		return nil
	case inUse(err):
		return fmt.Errorf("kafka: group %q has members: it can be moved when they have left: %w", group, err)
	}
	return fmt.Errorf("kafka: moving group %q on topic %q: %w", group, topic, err)
}
