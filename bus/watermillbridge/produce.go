package watermillbridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// producer appends to a topic.
type producer struct {
	ch    *Channel
	topic string
}

// Produce implements [event.Producer].
func (p *producer) Produce(ctx context.Context, events ...event.Event) error {
	return p.ch.produce(ctx, p.topic, event.MarkNone, events)
}

// ProduceTo implements [event.GroupProducer]: the events go to the redrive topic of the
// group.
func (ch *Channel) ProduceTo(ctx context.Context, group, topic string, mark event.Mark, events ...event.Event) error {
	if ch.over() {
		return event.ErrClosed
	}
	if group == "" || topic == "" {
		return errors.New("watermillbridge: the name of a group or a topic is empty")
	}
	if len(events) == 0 {
		return nil
	}
	if err := ch.ensureRedrive(ctx, topic, group); err != nil {
		return err
	}
	return ch.produce(ctx, redriveTopic(topic, group), mark, events)
}

// errBehind is the error of events that were not published because an earlier one of
// their key was not.
var errBehind = errors.New("an earlier event of the key was not accepted")

// produce publishes events. Publishers take one message after the other and know no
// context: keys go out side by side, and what was begun when ctx ends goes on.
func (ch *Channel) produce(ctx context.Context, topic string, mark event.Mark, events []event.Event) error {
	if ch.over() {
		return event.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("watermillbridge: publish to %q: %w", topic, err)
	}
	c := &call{ch: ch, topic: topic, fates: make([]fate, len(events)), done: make(chan struct{})}
	for i, e := range events {
		c.fates[i].id = e.ID()
		m, err := ch.prepare(e, mark)
		if err != nil {
			c.fates[i].state, c.fates[i].err = refused, err
			continue
		}
		c.add(i, e.Key(), m)
	}
	c.start(ctx)
	select {
	case <-c.done:
	case <-ctx.Done():
	}
	return c.stop(ctx.Err())
}

// prepare returns the message of an event, or why no repetition helps.
func (ch *Channel) prepare(e event.Event, mark event.Mark) (*message.Message, error) {
	if until := time.Until(e.NotBefore()); !e.NotBefore().IsZero() && until > 0 {
		return nil, fmt.Errorf("%w: %s knows no delays, and this is %v", event.ErrDelayTooLong, ch.ps.Guarantees.Channel, until)
	}
	m, err := ch.encode(e, mark)
	if err != nil {
		return nil, err
	}
	most := ch.ps.Guarantees.MaxBytes
	if n := sizeOf(m); most > 0 && n > most {
		return nil, fmt.Errorf("%w: %d bytes, %s takes %d", event.ErrTooLarge, n, ch.ps.Guarantees.Channel, most)
	}
	return m, nil
}

func sizeOf(m *message.Message) int {
	n := len(m.UUID) + len(m.Payload)
	for name, value := range m.Metadata {
		n += len(name) + len(value)
	}
	return n
}

// call is a Produce on its way.
type call struct {
	ch    *Channel
	topic string
	lanes []*lane
	keys  map[string]*lane
	done  chan struct{} // closed when all lanes have ended

	mu      sync.Mutex
	stopped bool
	running int
	fates   []fate
}

// lane is the events of a key, which go out one after the other.
type lane struct {
	at       []int
	messages []*message.Message
}

// fate is what becomes of an event.
type fate struct {
	id    string
	state state
	err   error
}

type state int8

const (
	waits state = iota
	goes
	sent
	refused // nothing of it was written
	failed  // it may have been written
)

// add puts a message behind those of its key.
func (c *call) add(i int, key string, m *message.Message) {
	l := c.keys[key]
	if l == nil || key == "" {
		l = new(lane)
		c.lanes = append(c.lanes, l)
		if c.keys == nil {
			c.keys = make(map[string]*lane)
		}
		c.keys[key] = l
	}
	l.at, l.messages = append(l.at, i), append(l.messages, m)
}

// sideBySide is how many keys of a call go out at once.
const sideBySide = 16

// start publishes all lanes.
func (c *call) start(ctx context.Context) {
	next := make(chan *lane, len(c.lanes))
	for _, l := range c.lanes {
		next <- l
	}
	close(next)
	c.running = min(len(c.lanes), sideBySide)
	if c.running == 0 {
		close(c.done)
		return
	}
	for range c.running {
		go func() {
			for l := range next {
				c.send(ctx, l)
			}
			c.ended()
		}()
	}
}

func (c *call) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running--; c.running == 0 {
		close(c.done)
	}
}

// send publishes the messages of a lane until one is not accepted.
func (c *call) send(ctx context.Context, l *lane) {
	var behind error
	for n, i := range l.at {
		if behind != nil {
			c.set(i, refused, behind)
			continue
		}
		select {
		case c.ch.sends <- struct{}{}:
		case <-ctx.Done():
			return
		case <-c.ch.closed:
			c.set(i, refused, event.ErrClosed)
			behind = event.ErrClosed
			continue
		}
		if !c.begin(i) {
			<-c.ch.sends
			return
		}
		err := c.ch.ps.Publisher.Publish(c.topic, l.messages[n])
		<-c.ch.sends
		if err != nil {
			c.set(i, failed, err)
			behind = errBehind
			continue
		}
		c.set(i, sent, nil)
	}
}

// begin marks an event as on its way, unless nobody waits for it any more.
func (c *call) begin(i int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return false
	}
	c.fates[i].state = goes
	return true
}

func (c *call) set(i int, s state, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fates[i].state, c.fates[i].err = s, err
}

// stop begins no more and returns what is known of the events. why is the error of those
// that nothing is known of.
func (c *call) stop(why error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	var failures []event.ProduceFailure
	for i, f := range c.fates {
		err := f.err
		if f.state == waits || f.state == goes {
			err = why
		}
		if f.state == sent {
			continue
		}
		err = fmt.Errorf("watermillbridge: %s: publish to %q: %w", c.ch.ps.Guarantees.Channel, c.topic, err)
		failures = append(failures, event.ProduceFailure{Index: i, ID: f.id, Err: err, Maybe: f.state == goes || f.state == failed})
	}
	if failures == nil {
		return nil
	}
	return &event.ProduceError{Failed: failures}
}
