package bus

import (
	"time"

	"github.com/leat-go/leat/event"
)

// PublishOption says something about one publish.
type PublishOption interface{ applyPublish(*publishing) }

// SubscribeOption says something about one subscription.
type SubscribeOption interface{ applySubscribe(*subscription) }

// publishing is what the options of a publish said.
type publishing struct {
	topic, key, id, subject string
	keyed                   bool // by an option
	notBefore               time.Time
	now                     bool
	attributes              []event.Extension
}

// subscription is what the options of a subscription said. Pointers are nil when
// an option was not given, so that the group can tell two different answers.
type subscription struct {
	topics     []string
	retry      Backoff
	blockKey   bool
	parkKey    bool
	timeout    time.Duration
	middleware []event.Middleware
	outside    []event.Middleware // of a style: around all others
	group      groupOptions
	batch      *batchSize
	batchOf    func(*group) event.BatchHandler // of SubscribeBatch
}

// groupOptions belong to the whole group: all subscriptions that say something
// about one of them must say the same.
type groupOptions struct {
	workers    *int
	inFlight   *int
	from       *event.Start
	strict     *bool
	unordered  *bool
	acrossApps *bool
	callable   *bool
}

type publishOption func(*publishing)

func (f publishOption) applyPublish(p *publishing) { f(p) }

type subscribeOption func(*subscription)

func (f subscribeOption) applySubscribe(s *subscription) { f(s) }

// TopicOption names a topic, of a publish or of a subscription.
type TopicOption struct{ name string }

// Topic publishes to, or subscribes to, this topic instead of the message's own.
// A subscription may have several. That a handler listens to another topic doesn't
// change where the message is published.
func Topic(name string) TopicOption { return TopicOption{name} }

func (o TopicOption) applyPublish(p *publishing) { p.topic = o.name }

func (o TopicOption) applySubscribe(s *subscription) { s.topics = append(s.topics, o.name) }

// Key keeps the events of one key in order. It replaces the value's EventKey(); "" is
// no key.
func Key(key string) PublishOption {
	return publishOption(func(p *publishing) { p.key, p.keyed = key, true })
}

// ID gives the event an id of its own, by which duplicates are recognised.
func ID(id string) PublishOption { return publishOption(func(p *publishing) { p.id = id }) }

// Subject says what within the source the event is about.
func Subject(subject string) PublishOption {
	return publishOption(func(p *publishing) { p.subject = subject })
}

// Delay lets the event be delivered no earlier than in d. A publish with a delay above
// the channel's longest is refused with [event.ErrDelayTooLong]. See [Bus.Cancel], and
// [Requirements] to know at the start.
func Delay(d time.Duration) PublishOption {
	return publishOption(func(p *publishing) { p.notBefore = time.Now().Add(d) })
}

// At lets the event be delivered no earlier than at t; a time that is past is as good
// as none. For the rest it is as [Delay].
func At(t time.Time) PublishOption { return publishOption(func(p *publishing) { p.notBefore = t }) }

// Now publishes at once, also inside a handler: the event goes out even if the
// handler fails.
func Now() PublishOption { return publishOption(func(p *publishing) { p.now = true }) }

// Attribute gives the event an extension attribute; "" is none. A name is of lower-case
// letters and digits. See the constants of package event for those that have a meaning.
func Attribute(name, value string) PublishOption {
	return publishOption(func(p *publishing) {
		p.attributes = append(p.attributes, event.Extension{Name: name, Value: value})
	})
}

// Workers lets a group run at most n handlers at once; the default is 1. Events of
// one key are still handled one after the other.
func Workers(n int) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.group.workers = &n })
}

// InFlight bounds how many deliveries a group has in hand, those that wait for
// their retry included; the default is 512, or the number of workers if that is
// more.
func InFlight(n int) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.group.inFlight = &n })
}

// From says where the group starts when it does not exist yet; the default is the
// earliest event that the channel still has.
func From(start event.Start) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.group.from = &start })
}

// Strict makes events of types that the group has no handler for dead letters;
// by default they are acknowledged and counted by the [SkipHook].
func Strict() SubscribeOption {
	yes := true
	return subscribeOption(func(s *subscription) { s.group.strict = &yes })
}

// AcrossApps lets the group stand for itself, without [Config].App: the Buses of all
// applications that subscribe to it share its events.
func AcrossApps() SubscribeOption {
	yes := true
	return subscribeOption(func(s *subscription) { s.group.acrossApps = &yes })
}

// Unordered lets events of one key be handled at the same time.
func Unordered() SubscribeOption {
	yes := true
	return subscribeOption(func(s *subscription) { s.group.unordered = &yes })
}

// Retry sets the backoff between attempts and their number; see [Backoff] for the
// default.
func Retry(r Backoff) SubscribeOption { return subscribeOption(func(s *subscription) { s.retry = r }) }

// BlockKey never gives up: a failing event is retried until it succeeds, and its
// key waits. Permanent errors and undecodable data are dead letters all the same.
func BlockKey() SubscribeOption { return subscribeOption(func(s *subscription) { s.blockKey = true }) }

// Timeout ends the handler's context after d, for each attempt; 0 is none.
func Timeout(d time.Duration) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.timeout = d })
}

// With puts middlewares around the handler; the first is the outermost.
func With(ms ...event.Middleware) SubscribeOption {
	return subscribeOption(func(s *subscription) { s.middleware = append(s.middleware, ms...) })
}
