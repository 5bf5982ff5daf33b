package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// crowd is the members of a group, what is produced for them, and the account of what
// they have done: all that was accepted is handled, first in order for each key.
type crowd struct {
	t     *testing.T
	open  func() *kafka.Channel
	topic string
	pace  time.Duration // between two calls of a producer

	mu       sync.Mutex
	accepted map[string]bool
	failed   int            // events of calls that failed
	next     map[string]int // of each key: the next number
	runs     map[string]int // how often the handler began
	ends     map[string]int // and how often it ended it
	newest   map[string]string
	disorder []string
	doubles  []string
	begun    int
	dead     map[string]bool
	joined   int
	told     []string // to members, of errors
}

const crowdGroup = "chaos.g" // as the channel knows it

func newCrowd(t *testing.T, topic string, open func() *kafka.Channel) *crowd {
	t.Helper()
	return &crowd{
		t: t, open: open, topic: topic,
		accepted: make(map[string]bool), next: make(map[string]int), runs: make(map[string]int),
		ends: make(map[string]int), newest: make(map[string]string), dead: make(map[string]bool),
	}
}

// produce accepts n events of each of some keys, in calls of a few.
func (c *crowd) produce(ctx context.Context, p event.Producer, keys []string, n int) {
	const call = 5 // events of a key
	for range n / call {
		var es []event.Event
		c.mu.Lock()
		for _, key := range keys {
			for range call {
				es = append(es, event.New("/chaos", "happened", nil).WithID(fmt.Sprintf("%s-%06d", key, c.next[key])).WithKey(key))
				c.next[key]++
			}
		}
		c.mu.Unlock()
		err := p.Produce(ctx, es...)
		var refused *event.ProduceError
		if err != nil && !errors.As(err, &refused) {
			return // the test is over
		}
		c.mu.Lock()
		for i, e := range es {
			if refused != nil && slices.ContainsFunc(refused.Failed, func(f event.ProduceFailure) bool { return f.Index == i }) {
				c.failed++
				continue
			}
			c.accepted[e.ID()] = true
		}
		c.mu.Unlock()
		pause(ctx, c.pace)
	}
}

// pause is work that takes its time.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// load produces n events of each of some keys, with a producer for every ten keys.
func (c *crowd) load(ch *kafka.Channel, keys, n int) (wait func()) {
	var left sync.WaitGroup
	p, err := ch.Producer(c.t.Context(), c.topic)
	require.NoError(c.t, err)
	for from := 0; from < keys; from += 10 {
		var mine []string
		for k := from; k < from+10; k++ {
			mine = append(mine, fmt.Sprintf("k%03d", k))
		}
		left.Go(func() { c.produce(c.t.Context(), p, mine, n) })
	}
	return left.Wait
}

var (
	errAgain = errors.New("again")
	errNever = errors.New("never")
)

// handle is the handler of all members: some events fail once and wait in hand for
// their retry, some become dead letters, some take their time.
func (c *crowd) handle(ctx context.Context, id string) error {
	key, digits, _ := strings.Cut(id, "-")
	k, err := strconv.Atoi(key[1:])
	n, err2 := strconv.Atoi(digits)
	if err != nil || err2 != nil {
		return event.Permanent(errors.Join(err, err2))
	}
	n += 37 * k // each key has its bad numbers
	c.mu.Lock()
	c.begun++
	if c.runs[id]++; c.runs[id] == 1 {
		before := c.newest[key]
		if before >= id || before != "" && c.ends[before] == 0 {
			c.disorder = append(c.disorder, fmt.Sprintf("%s began behind %s, which was done %d times", id, before, c.ends[before]))
		}
		c.newest[key] = id
	}
	first := c.runs[id] == 1
	c.mu.Unlock()
	switch {
	case n%50 == 11:
		pause(ctx, 10*time.Millisecond)
	case n%500 == 12:
		pause(ctx, time.Second)
	case n%90 == 13 && first:
		return event.RetryAfter(50*time.Millisecond, errAgain)
	case n%500 == 14 && first:
		return event.RetryAfter(time.Second, errAgain)
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends[id]++; c.ends[id] > 1 {
		c.doubles = append(c.doubles, id)
	}
	if n%400 == 15 {
		c.dead[id] = true
		return event.Permanent(errNever)
	}
	return nil
}

// participant is a member: a bus with a channel of its own.
type participant struct {
	*bus.Bus

	ch *spied
}

// spied is a channel that remembers its consumer.
type spied struct {
	*kafka.Channel

	cuts     *kafka.Cuts
	consumer event.Consumer
	tell     func(error)
}

func (s *spied) Consumer(ctx context.Context, sub event.Subscription) (event.Consumer, error) {
	sub.OnError = s.tell
	c, err := s.Channel.Consumer(ctx, sub)
	s.consumer = c
	return c, err
}

// join adds a member.
func (c *crowd) join() *participant {
	c.mu.Lock()
	c.joined++
	member, start := c.joined, time.Now()
	c.mu.Unlock()
	ch := c.open()
	p := &participant{ch: &spied{Channel: ch, cuts: kafka.NewCuts(ch), tell: func(err error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.told = append(c.told, fmt.Sprintf("member %d, %v after it came: %v", member, time.Since(start).Round(time.Millisecond), err))
	}}}
	p.Bus = newMember(p.ch, c.topic, c.handle)
	require.NoError(c.t, p.Start(c.t.Context()))
	return p
}

// newMember returns a bus whose handler is told of ids.
func newMember(ch event.Channel, topic string, handle func(ctx context.Context, id string) error) *bus.Bus {
	b := bus.New(bus.Config{App: "chaos", Channel: ch})
	bus.SubscribeRaw(b, "g", []string{"happened"}, func(ctx context.Context, e event.Event) error {
		return handle(ctx, e.ID())
	}, bus.Topic(topic), bus.Workers(4))
	return b
}

// leave lets a member go in good order.
func (c *crowd) leave(p *participant) {
	assert.NoError(c.t, c.depart(p))
}

// depart is leave where that may fail.
func (c *crowd) depart(p *participant) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), 20*time.Second)
	defer cancel()
	return p.Shutdown(ctx)
}

// crash cuts a member off for ever, while it works.
func (c *crowd) crash(p *participant) {
	p.ch.cuts.Crash(p.ch.consumer)
}

// bury ends what is left of a member that was cut off.
func (c *crowd) bury(p *participant) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.t.Context()), time.Second)
	defer cancel()
	_ = p.Shutdown(ctx)
}

// settle waits until all that was accepted is handled and nothing is left to do.
func (c *crowd) settle(ch *kafka.Channel, patience time.Duration) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	for ctx.Err() == nil && len(c.missing()) > 0 {
		pause(ctx, 50*time.Millisecond)
	}
	missing := c.missing()
	require.Empty(c.t, missing[:min(len(missing), 10)], "%d of %d are missing", len(missing), len(c.accepted))
	require.NoError(c.t, ch.Quiet(ctx, crowdGroup))
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Empty(c.t, c.disorder)
}

func (c *crowd) missing() (ids []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id := range c.accepted {
		if c.ends[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// doubled returns the events that were handled more than once since it was asked last.
func (c *crowd) doubled() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	ids := c.doubles
	c.doubles = nil
	return ids
}

// letters checks that all dead letters are there.
func (c *crowd) letters(ch *kafka.Channel) {
	ids := make(map[string]bool)
	for d, err := range ch.DeadLetters(c.t.Context(), c.topic, crowdGroup) {
		require.NoError(c.t, err)
		ids[d.Event.ID()] = true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	assert.Equal(c.t, c.dead, ids)
	assert.NotEmpty(c.t, ids)
}

func (c *crowd) report(phase string, since time.Time, doubles int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, told := range c.told {
		c.t.Log(told)
	}
	c.told = nil
	c.t.Logf("%s: %d events accepted, %d not, %d runs, %d members so far, %d dead letters, %d handled twice, %v",
		phase, len(c.accepted), c.failed, c.begun, c.joined, len(c.dead), doubles, time.Since(since).Round(time.Millisecond))
}
