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
	return ch.ensureAlone(ctx, group, topic, event.Start{}, false)
}

// groupMaker is implemented by [Channel], also where another type embeds it. It is no
// [event.Provisioner]: Watermill can't remove a group.
type groupMaker interface {
	makeGroup(ctx context.Context, group, topic string, from event.Start) error
}

// makeGroup makes a group without a member, or says that the pub/sub can't.
func (ch *Channel) makeGroup(ctx context.Context, group, topic string, from event.Start) error {
	if err := ch.ps.start(from); err != nil {
		return err
	}
	return ch.ensureAlone(ctx, group, topic, from, true)
}

// ensureAlone makes a group that has no member here. must: a pub/sub that can't is an
// error.
func (ch *Channel) ensureAlone(ctx context.Context, group, topic string, from event.Start, must bool) error {
	if ch.ps.EnsureGroup != nil {
		return ch.ensureGroup(ctx, nil, group, topic, from)
	}
	s, err := ch.ps.Subscriber(Member{Group: group, Logger: watermill.NopLogger{}})
	if err != nil {
		return fmt.Errorf("watermillbridge: %s: group %q: %w", ch.ps.Guarantees.Channel, group, err)
	}
	if _, can := s.(message.SubscribeInitializer); must && !can {
		err = fmt.Errorf("%w: %s makes no groups that have no member", event.ErrNotSupported, ch.ps.Guarantees.Channel)
	} else {
		err = ch.ensureGroup(ctx, s, group, topic, from)
	}
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
