package watermillbridge

import (
	"context"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// ensureLetters lets the dead letters of a group be kept from now on.
func (ch *Channel) ensureLetters(ctx context.Context, topic, group string) error {
	return ch.ensureOwn(ctx, lettersGroup(group), deadTopic(topic, group))
}

// ensureRedrive lets be kept what is produced to a group alone.
func (ch *Channel) ensureRedrive(ctx context.Context, topic, group string) error {
	return ch.ensureOwn(ctx, group, redriveTopic(topic, group))
}

// ensureOwn makes a group on a topic that is nobody else's, once.
func (ch *Channel) ensureOwn(ctx context.Context, group, topic string) error {
	ch.mu.Lock()
	done, closed := ch.owns[topic], ch.isClosed
	ch.mu.Unlock()
	switch {
	case closed:
		return event.ErrClosed
	case done:
		return nil
	}
	if err := ch.makeOwn(ctx, group, topic); err != nil {
		return err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	ch.owns[topic] = true
	return nil
}

func (ch *Channel) makeOwn(ctx context.Context, group, topic string) error {
	if ch.ps.EnsureOwn != nil {
		if err := ch.ps.EnsureOwn(ctx, group, topic); err != nil {
			return fmt.Errorf("watermillbridge: %s: group %q on topic %q: %w", ch.ps.Guarantees.Channel, group, topic, err)
		}
		return nil
	}
	if ch.ps.EnsureGroup != nil {
		return ch.ensureGroup(ctx, nil, group, topic, event.Start{})
	}
	s, err := ch.ps.Subscriber(Member{Group: group, Logger: watermill.NopLogger{}})
	if err != nil {
		return fmt.Errorf("watermillbridge: %s: group %q: %w", ch.ps.Guarantees.Channel, group, err)
	}
	err = ch.ensureGroup(ctx, s, group, topic, event.Start{})
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
	defer cancel()
	_ = within(closing, "close the subscriber", s.Close) // it was never used
	return err
}

// publish publishes a message of the channel's own, and waits for the broker until ctx
// ends.
func (ch *Channel) publish(ctx context.Context, topic string, m *message.Message) error {
	select {
	case ch.sends <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	case <-ch.closed:
		return event.ErrClosed
	}
	done := make(chan error, 1)
	go func() {
		err := ch.ps.Publisher.Publish(topic, m)
		<-ch.sends
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("watermillbridge: %s: publish to %q: %w", ch.ps.Guarantees.Channel, topic, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("watermillbridge: %s: publish to %q: %w", ch.ps.Guarantees.Channel, topic, ctx.Err())
	}
}
