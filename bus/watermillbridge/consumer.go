package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// consumer is a member of a group: its subscriptions, and what it has of them.
type consumer struct {
	ch  *Channel
	sub event.Subscription
	id  uint64

	life        context.Context // of the subscriptions
	end         context.CancelFunc
	subscribers []message.Subscriber
	sources     []*source
	running     sync.WaitGroup

	mu      sync.Mutex
	closing bool
	changed chan struct{}        // closed, and made anew, when something left the hand
	arrived chan struct{}        // something is ready, or the consumer closes
	hand    map[uint64]*incoming // all that is not settled, by number
	last    uint64
	ready   []*incoming // not received yet
	open    int         // received and not settled
	begun   int
	lastAck time.Time
}

// incoming is a message that is not settled.
type incoming struct {
	d      event.Delivery
	m      *message.Message
	from   *source
	n      uint64
	state  stage
	lease  event.Lease
	handle string        // of its dead letter
	over   chan struct{} // closed when it left the hand
	expiry *time.Timer   // nil: it may be held for as long as the member lives
}

type stage int8

const (
	isReady stage = iota
	isReceived
	isBegun
	isHeld
)

var consumers atomic.Uint64

// Consumer implements [event.Channel].
func (ch *Channel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if len(s.Topics) == 0 {
		return nil, fmt.Errorf("watermillbridge: group %q: no topics", s.Group)
	}
	if s.Group == "" && !s.Ephemeral {
		return nil, fmt.Errorf("watermillbridge: topics %q: the name of the group is empty", s.Topics)
	}
	if err := ch.ps.start(s.From); err != nil {
		return nil, fmt.Errorf("watermillbridge: group %q: %w", s.Group, err)
	}
	c := &consumer{
		ch: ch, sub: s, id: consumers.Add(1),
		changed: make(chan struct{}), arrived: make(chan struct{}, 1), hand: make(map[uint64]*incoming),
	}
	if ch.over() {
		return nil, event.ErrClosed
	}
	c.life, c.end = context.WithCancel(ctx)
	err := c.begin(ctx)
	if err == nil {
		err = ch.register(c) // a Close from now on finds all of it
	}
	if err != nil {
		return nil, errors.Join(err, c.drop(context.WithoutCancel(ctx)))
	}
	return c, nil
}

// begin makes the group and subscribes.
func (c *consumer) begin(ctx context.Context) error {
	subscribers := c.subscriber
	if c.sub.Ephemeral {
		subscribers = c.private
	}
	main, err := subscribers()
	if err != nil {
		return err
	}
	for _, topic := range c.sub.Topics {
		if err := c.prepare(ctx, main, topic); err != nil {
			return err
		}
	}
	for _, topic := range c.sub.Topics {
		if err := c.subscribe(main, topic, topic, false); err != nil { //nolint:contextcheck // it has that of the consumer's life
			return err
		}
		if c.sub.Ephemeral {
			continue
		}
		if err := c.subscribe(main, redriveTopic(topic, c.sub.Group), topic, true); err != nil { //nolint:contextcheck // as above
			return err
		}
	}
	return nil
}

// prepare makes a group on a topic, and where its dead letters and redrives go.
func (c *consumer) prepare(ctx context.Context, s message.Subscriber, topic string) error {
	if c.sub.Ephemeral {
		return c.ch.ensureTopic(ctx, topic)
	}
	if err := c.prepareRedrive(ctx, s, topic); err != nil {
		return err
	}
	if err := c.ch.ensureLetters(ctx, topic, c.sub.Group); err != nil {
		return err
	}
	return c.ch.ensureGroup(ctx, s, c.sub.Group, topic, c.sub.From)
}

func (c *consumer) prepareRedrive(ctx context.Context, s message.Subscriber, topic string) error {
	if c.ch.ps.EnsureOwn != nil {
		return c.ch.ensureRedrive(ctx, topic, c.sub.Group)
	}
	return c.ch.ensureGroup(ctx, s, c.sub.Group, redriveTopic(topic, c.sub.Group), event.Start{})
}

func (c *consumer) subscriber() (message.Subscriber, error) {
	return c.newSubscriber(c.ch.ps.Subscriber, c.sub.Group)
}

func (c *consumer) private() (message.Subscriber, error) {
	if c.ch.ps.Private == nil {
		return nil, fmt.Errorf("watermillbridge: group %q: ephemeral: %w (%s)",
			c.sub.Group, event.ErrNotSupported, c.ch.ps.Guarantees.Channel)
	}
	return c.newSubscriber(c.ch.ps.Private, "")
}

func (c *consumer) newSubscriber(of func(Member) (message.Subscriber, error), group string) (message.Subscriber, error) {
	s, err := of(Member{Group: group, Logger: &errorLog{tell: c.tell}})
	if err != nil {
		return nil, fmt.Errorf("watermillbridge: %s: group %q: %w", c.ch.ps.Guarantees.Channel, group, err)
	}
	c.subscribers = append(c.subscribers, s)
	return s, nil
}

// subscribe opens the subscriptions of a topic; origin is where its events come from.
func (c *consumer) subscribe(s message.Subscriber, topic, origin string, again bool) error {
	for range c.ch.ps.Subscriptions {
		x := &source{c: c, s: s, topic: topic, origin: origin, again: again, slots: make(chan struct{}, c.ch.ps.Unacked)}
		if err := x.open(); err != nil {
			return fmt.Errorf("watermillbridge: %s: group %q: subscribe to %q: %w", c.ch.ps.Guarantees.Channel, c.sub.Group, topic, err)
		}
		c.sources = append(c.sources, x)
		c.running.Go(x.run)
	}
	return nil
}

// tell passes on an error that is dealt with.
func (c *consumer) tell(err error) {
	if c.sub.OnError != nil {
		c.sub.OnError(err)
	}
}

// arrive takes a message in, unless the consumer closes.
func (c *consumer) arrive(from *source, m *message.Message) *incoming {
	in := &incoming{m: m, from: from, over: make(chan struct{})}
	in.d = delivery(from.origin, from.again, m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return nil
	}
	c.last++
	in.n = c.last
	in.d.Token = event.Token{c.id, in.n}
	c.hand[in.n] = in
	c.ready = append(c.ready, in)
	if most := c.ch.ps.Guarantees.MaxHold; most > 0 {
		in.expiry = time.AfterFunc(most, func() { c.expire(in) })
	}
	signal(c.arrived)
	return in
}

// signal wakes whoever waits for a channel of capacity 1, or will wait.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive implements [event.Consumer].
func (c *consumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	for {
		c.mu.Lock()
		closing, n := c.closing, 0
		if !closing {
			n = c.take(buf)
		}
		c.mu.Unlock()
		switch {
		case closing:
			return 0, event.ErrClosed
		case n > 0:
			return n, nil
		}
		select {
		case <-c.arrived:
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-c.life.Done():
			return 0, event.ErrClosed
		}
	}
}

// take hands out what is ready. The consumer is locked.
func (c *consumer) take(buf []event.Delivery) (n int) {
	room := len(buf)
	if most := c.sub.InFlight; most > 0 {
		room = min(room, max(most-c.open, 0))
	}
	for n < room && len(c.ready) > 0 {
		in := c.ready[0]
		c.ready = c.ready[1:]
		in.state = isReceived
		buf[n] = in.d
		n++
		c.open++
	}
	return n
}

// find returns what a token names, if it is in hand. The consumer is locked.
func (c *consumer) find(t event.Token) *incoming {
	if t[0] != c.id {
		return nil
	}
	in := c.hand[t[1]]
	if in == nil || in.state == isReady {
		return nil
	}
	return in
}

// Begin implements [event.Consumer].
func (c *consumer) Begin(t event.Token) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.find(t)
	if in == nil {
		return nil, false
	}
	if in.state != isBegun {
		in.state = isBegun
		c.begun++
	}
	return &in.lease, true
}

// Hold implements [event.Consumer].
func (c *consumer) Hold(t event.Token, _ int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.find(t)
	if in == nil || in.state != isBegun {
		return
	}
	in.state = isHeld
	c.begun--
	if c.closing {
		c.remove(in)
		in.giveBack()
	}
	c.change()
}

// change wakes those who wait for the hand. The consumer is locked.
func (c *consumer) change() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// remove takes something out of the hand. The consumer is locked.
func (c *consumer) remove(in *incoming) {
	delete(c.hand, in.n)
	switch in.state {
	case isReady:
	case isBegun:
		c.begun--
		c.open--
	case isReceived, isHeld:
		c.open--
	}
	if in.expiry != nil {
		in.expiry.Stop()
	}
	close(in.over)
	c.change()
	signal(c.arrived) // there is room
}

// giveBack lets the broker have a message again.
func (in *incoming) giveBack() {
	if in.from.c.ch.ps.Returns {
		in.m.Nack()
	}
}

// expire takes a message away that was in hand for as long as it may be, and opens its
// subscription anew: the broker gives it to somebody else now.
func (c *consumer) expire(in *incoming) {
	if c.lose(in) {
		c.tell(fmt.Errorf("watermillbridge: %s: group %q: a message of %q was in hand for %v, and comes again: %w",
			c.ch.ps.Guarantees.Channel, c.sub.Group, in.from.topic, c.ch.ps.Guarantees.MaxHold, event.ErrLeaseLost))
		in.from.restart()
		in.giveBack() // the subscription may wait for an answer before it ends
	}
}

// lose takes away what is another's now, and reports whether it was in hand.
func (c *consumer) lose(in *incoming) bool {
	c.mu.Lock()
	if c.hand[in.n] != in {
		c.mu.Unlock()
		return false
	}
	tell := in.state == isReceived || in.state == isHeld
	if in.state == isReady {
		for i, r := range c.ready {
			if r == in {
				c.ready = append(c.ready[:i:i], c.ready[i+1:]...)
				break
			}
		}
	}
	c.remove(in)
	c.mu.Unlock()
	in.lease.End(event.ErrLeaseLost)
	if tell && c.sub.OnLost != nil {
		c.sub.OnLost([]event.Token{in.d.Token})
	}
	return true
}
