package watermillbridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// PubSub is a Watermill pub/sub as [NewChannel] takes it, and what it can be relied on
// for: Watermill's interfaces don't tell.
type PubSub struct {
	// Publisher publishes to all topics. The channel closes it.
	Publisher message.Publisher
	// Subscriber returns a subscriber for a member of a group. Of the members of a group,
	// each message comes to one. The channel closes it with its consumer.
	Subscriber func(m Member) (message.Subscriber, error)
	// Private returns a subscriber that alone gets all messages from now on, for
	// [event.Subscription].Ephemeral; nil: that is not supported.
	Private func(m Member) (message.Subscriber, error)
	// EnsureTopic makes a topic unless it exists; nil: nothing is to be made.
	EnsureTopic func(ctx context.Context, topic string) error
	// EnsureGroup makes a group on a topic unless it exists. What is published from then
	// on is kept for it. nil: [message.SubscribeInitializer] does, where the subscriber
	// implements it, and groups start where the pub/sub lets them start.
	EnsureGroup func(ctx context.Context, group, topic string, from event.Start) error
	// EnsureOwn makes a topic that one group alone reads, and that group, unless they
	// exist: nobody needs what the group has acknowledged there. nil: it is made as any
	// other.
	EnsureOwn func(ctx context.Context, group, topic string) error
	// Lost returns a channel that is closed when a message is no longer its
	// subscription's: then an Ack records nothing, and only lets the subscription go on.
	// nil: the pub/sub doesn't know.
	Lost func(m *message.Message) <-chan struct{}
	// Close ends what belongs to the pub/sub besides, after the publisher; may be nil.
	Close func() error

	// Guarantees is what the pub/sub promises. MaxBytes is to leave room for what is known
	// of a dead letter, some 8 KiB, and MaxHold to be a little less than the time after
	// which the broker gives a message to others. Channel, its name, is required. Those that
	// no pub/sub can keep through Watermill's interfaces are refused: delays, give-backs,
	// counted attempts, kept failures, parked keys and positions. InHand is the bridge's.
	Guarantees event.Guarantees
	// Subscriptions is how many subscriptions a member has on each topic: how many
	// messages it handles at once. 0: 1.
	Subscriptions int
	// Unacked is how many messages a subscription may have in hand, where it hands out
	// the next before the last is acknowledged: one of each partition. 0: 1.
	Unacked int
	// Envelope puts the whole event into the payload, as CloudEvents JSON: for pub/subs
	// that have little room for metadata, or none for bytes.
	Envelope bool
	// InOrder tells that a lone subscription gets messages in the order in which they
	// were published: then the dead letters are known to be all when the last has come.
	InOrder bool
	// Returns tells that a Nack gives a message back to the broker, for any member, at
	// once. Else what a closing member has in hand comes again when the broker notices.
	Returns bool
}

// Member is for whom a subscriber is made.
type Member struct {
	Group  string                  // "" for a private one
	Logger watermill.LoggerAdapter // whose errors are told to [event.Subscription].OnError
}

func (p *PubSub) check() error {
	var errs []error
	g := p.Guarantees
	for _, x := range []struct {
		wrong bool
		what  string
	}{
		{p.Publisher == nil, "Publisher is nil"},
		{p.Subscriber == nil, "Subscriber is nil"},
		{p.Subscriptions < 0, "Subscriptions is negative"},
		{p.Unacked < 0, "Unacked is negative"},
		{g.Channel == "", "Guarantees.Channel, the name, is empty"},
		{g.MaxDelay != 0 || g.MaxRetry != 0, "Guarantees: Watermill knows no delays: MaxDelay and MaxRetry must be 0"},
		{g.GivesBack || g.CountsGiveBacks, "Guarantees: Watermill gives no single message back: " +
			"GivesBack and CountsGiveBacks must be false"},
		{g.CountsAttempts || g.KeepsFailures || g.RedriveLimit != 0, "Guarantees: Watermill doesn't tell attempts: " +
			"CountsAttempts, KeepsFailures and RedriveLimit must be zero"},
		{g.Parks || g.Positions, "Guarantees: Watermill can't park keys and knows no positions: Parks and Positions must be false"},
		{
			g.MaxBytes < 0 || g.Lease < 0 || g.MaxHold < 0 || g.RedeliveryHorizon < 0 || g.DedupWindow < 0,
			"Guarantees: MaxBytes, Lease, MaxHold, RedeliveryHorizon or DedupWindow is negative",
		},
		{g.Linger != 0 || g.InHand != 0, "Guarantees: Linger must be 0, and InHand is the bridge's to say"},
	} {
		if x.wrong {
			errs = append(errs, errors.New(x.what))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watermillbridge: PubSub: %w", err)
	}
	return nil
}

// promised returns what holds for a group.
func (p *PubSub) promised() event.Guarantees {
	g := p.Guarantees
	g.InHand = p.Subscriptions
	return g
}

// start returns where a group begins, or why it can't begin there.
func (p *PubSub) start(from event.Start) error {
	switch {
	case (from.Kind == event.StartOldest || from.Kind == event.StartSince) && !p.Guarantees.History:
		return event.ErrNoHistory
	case from.Kind == event.StartNewest && !p.Guarantees.History:
		return nil // there is nothing older
	case from.Kind != event.StartDefault && p.EnsureGroup == nil:
		return fmt.Errorf("%w: %s can't say where a group starts", event.ErrNotSupported, p.Guarantees.Channel)
	}
	return nil
}
