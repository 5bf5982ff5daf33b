package event

import (
	"context"
	"time"
)

// The interfaces of this file are capabilities that a [Channel], or a [Producer]
// where it says so, may have besides. They are found by type assertion.

// TopicSpec is a topic as it should be. Zero fields leave the choice to the channel.
type TopicSpec struct {
	Name       string        // of the topic
	Partitions int           // lanes; 0: the broker's default
	Replicas   int           // copies; 0: the broker's default
	Retention  time.Duration // how long events are kept; 0: the broker's default
}

// Provisioner is implemented by channels that can make and remove topics and groups.
type Provisioner interface {
	// EnsureTopic makes a topic unless it exists.
	EnsureTopic(ctx context.Context, t TopicSpec) error
	// EnsureGroup makes a group without a member unless it exists.
	EnsureGroup(ctx context.Context, group string, from Start, topics ...string) error
	// RemoveGroup removes a group from topics, with all that it is owed and its dead
	// letters. It refuses a group that has members.
	RemoveGroup(ctx context.Context, group string, topics ...string) error
}

// Mark says why events come again. Publishers can't set it; the channel keeps it
// beside the event.
type Mark uint8

// The marks.
const (
	MarkNone Mark = iota
	MarkRedriven
	MarkReplayed
)

// GroupProducer is implemented by channels that can produce to exactly one group.
type GroupProducer interface {
	// ProduceTo appends events for one group of a topic; errors are those of
	// [Producer].Produce.
	ProduceTo(ctx context.Context, group, topic string, mark Mark, events ...Event) error
}

// PositionProducer is implemented by a [Producer] that knows where events went.
type PositionProducer interface {
	// ProduceAt is Produce and returns the position of each event.
	ProduceAt(ctx context.Context, events ...Event) ([]Position, error)
}

// Ends is implemented by channels that have positions.
type Ends interface {
	// Ends returns, for each lane of a topic that has had events, the position of the
	// last one that was accepted for all groups: an event whose Produce returned before
	// Ends was called is at or before the end of its lane, one that is produced at the
	// same time may be behind it. A consumer that sees all events reaches it, by their
	// positions and gaps ([Delivery]). What
	// ProduceTo sends doesn't count. A topic that doesn't exist, or never had an event,
	// has no ends. The order of the lanes isn't told.
	Ends(ctx context.Context, topic string) ([]Position, error)
}

// Scheduler is implemented by channels that can cancel an event with a NotBefore.
type Scheduler interface {
	// Cancel removes an event that is not due yet, from all groups, and reports whether
	// it was there: if so it comes to none of them, if not to each that is owed it.
	Cancel(ctx context.Context, topic, id string) (bool, error)
}

// GroupInfo is a group of a topic.
type GroupInfo struct {
	Group   string // as the channel knows it
	Members int    // consumers that are open
}

// Census is implemented by channels that know the groups of a topic.
type Census interface {
	// Groups returns the groups of a topic, sorted by name.
	Groups(ctx context.Context, topic string) ([]GroupInfo, error)
}

// Seeker is implemented by channels that can move a group without members.
type Seeker interface {
	// Seek lets a group begin anew at another place of a topic. It refuses a group
	// that has members there, and [ErrNoHistory] where there is none to go back to.
	Seek(ctx context.Context, topic, group string, to Start) error
}

// Lag is how far a group is behind on a topic.
type Lag struct {
	Waiting   int           // not in hand and due
	InHand    int           // with a member
	Delayed   int           // not in hand, due later
	Dead      int           // dead letters
	OldestAge time.Duration // since the oldest unsettled event could be handled: was accepted, or due if that is later; 0: none is due
}

// Unsettled returns how many events the group is owed.
func (l Lag) Unsettled() int { return l.Waiting + l.InHand + l.Delayed }

// LagReporter is implemented by channels that know how far a group is behind.
type LagReporter interface {
	// Lag returns how far a group is behind on a topic.
	Lag(ctx context.Context, topic, group string) (Lag, error)
}

// Quiescer is implemented by channels that know when nothing is left to do.
type Quiescer interface {
	// Quiet waits until the groups, or all groups when none is named, are owed
	// nothing: everything is settled. It returns ctx's error when ctx ends before.
	Quiet(ctx context.Context, groups ...string) error
}
