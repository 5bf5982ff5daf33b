package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// Channel is an [event.Channel] in memory, see the package. Make it with [New].
type Channel struct {
	cfg    config
	base   time.Time // the channel's clock counts from here
	faults *faults   // or nil

	waits        atomic.Int64  // deliveries whose publish found no room
	waitsChanged atomic.Uint64 // counts changes of which these are
	dying        atomic.Int64  // groups of crashed ephemeral consumers
	quiet        quiet

	over    int        // most events that were ever over the bounds; belongs to passing
	line    lineUp     // belongs to passing
	leeway  leeway     // belongs to passing
	passing sync.Mutex // held to go over a bound, and by who locks several groups; locked before topics and groups

	mu       sync.RWMutex // locked before topics and groups
	closed   bool
	topics   map[string]*topic
	byName   map[string]*group
	groups   []*group // all, ephemeral ones included; never changed, only replaced
	serial   uint64   // of groups
	memberID int32
}

var (
	_ event.Channel       = (*Channel)(nil)
	_ event.Provisioner   = (*Channel)(nil)
	_ event.GroupProducer = (*Channel)(nil)
	_ event.DeadLetters   = (*Channel)(nil)
	_ event.Census        = (*Channel)(nil)
	_ event.Seeker        = (*Channel)(nil)
	_ event.LagReporter   = (*Channel)(nil)
	_ event.Quiescer      = (*Channel)(nil)
)

// New returns an open channel without topics. In a synctest bubble, call it there.
func New(opts ...Option) *Channel {
	cfg := newConfig(opts)
	return &Channel{
		cfg:    cfg,
		base:   time.Now(),
		faults: newFaults(cfg.faults),
		topics: make(map[string]*topic),
		byName: make(map[string]*group),
	}
}

// now returns the time on the channel's clock, which only goes forward.
func (c *Channel) now() int64 { return int64(time.Since(c.base)) }

// wall returns the time of day of a time of the clock.
func (c *Channel) wall(at int64) time.Time {
	return time.Unix(0, c.base.UnixNano()+at)
}

// clock returns the time of the clock of a time of day.
func (c *Channel) clock(t time.Time) int64 { return int64(t.Sub(c.base)) }

// ifOpen returns ErrClosed once the channel is closed.
func (c *Channel) ifOpen() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return event.ErrClosed
	}
	return nil
}

// allGroups returns all groups, not to be changed.
func (c *Channel) allGroups() []*group {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.groups
}

// Guarantees implements [event.Channel]. They are the same for every topic and group.
func (c *Channel) Guarantees(ctx context.Context, _, _ string) (event.Guarantees, error) {
	if err := c.usable(ctx); err != nil {
		return event.Guarantees{}, err
	}
	return event.Guarantees{
		Channel:        "memory",
		OrderPerKey:    true,
		History:        c.cfg.retain > 0,
		MaxDelay:       -1,
		MaxRetry:       -1,
		Lease:          c.cfg.lease,
		CountsAttempts: true,
		GivesBack:      true,
		SettlesAtOnce:  true,
		KeepsFailures:  true,
		Parks:          true,
		Positions:      true,
	}, nil
}

func (c *Channel) usable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return c.ifOpen()
}

// Producer implements [event.Channel]. The producer is an [event.PositionProducer].
func (c *Channel) Producer(ctx context.Context, name string) (event.Producer, error) {
	t, err := c.topicOf(ctx, name)
	if err != nil {
		return nil, err
	}
	return producer{t}, nil
}

var errNoTopic = errors.New("memory: a topic needs a name")

// topicOf returns a topic, which it makes unless it exists.
func (c *Channel) topicOf(ctx context.Context, name string) (*topic, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.topicLocked(name)
}

func (c *Channel) topicLocked(name string) (*topic, error) {
	if c.closed {
		return nil, event.ErrClosed
	}
	if name == "" {
		return nil, errNoTopic
	}
	t := c.topics[name]
	if t == nil {
		t = &topic{c: c, name: name}
		c.topics[name] = t
	}
	return t, nil
}

// Consumer implements [event.Channel]. Types is ignored.
func (c *Channel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.Ephemeral {
		s.From = event.Newest()
	}
	c.reap()
	c.mu.Lock()
	defer c.mu.Unlock()
	g, queues, err := c.ensure(s.Group, s.From, s.Topics, s.Ephemeral)
	if err != nil {
		return nil, err
	}
	c.memberID++
	m := &consumer{
		c:       c,
		g:       g,
		id:      c.memberID,
		most:    s.InFlight,
		grace:   s.CancelGrace,
		lost:    s.OnLost,
		onError: s.OnError,
		queues:  queues,
		wake:    make(chan struct{}, 1),
	}
	g.mu.Lock()
	g.members = append(g.members, m)
	for _, q := range queues {
		if len(q.members) == 0 {
			q.tellAt = 0 // who was told has left
			q.closeGaps()
		}
		q.members = append(q.members, m)
		if s.Ephemeral && s.OnEvent != nil && c.faults == nil { // with these it gets them as they come
			q.tell.Store(&s.OnEvent)
		}
	}
	if len(g.members) == 2 {
		g.adopt()
	}
	g.mu.Unlock()
	return m, nil
}

// ensure returns a group and its queues of topics, which it makes unless they
// exist. c is locked.
func (c *Channel) ensure(name string, from event.Start, topics []string, ephemeral bool) (*group, []*queue, error) {
	if c.closed {
		return nil, nil, event.ErrClosed
	}
	switch {
	case name == "" && !ephemeral:
		return nil, nil, errors.New("memory: a group needs a name")
	case len(topics) == 0:
		return nil, nil, fmt.Errorf("memory: group %q needs a topic", name)
	}
	if c.cfg.retain == 0 && (from.Kind == event.StartOldest || from.Kind == event.StartSince) {
		return nil, nil, fmt.Errorf("memory: group %q: %w (memory.Retain keeps one)", name, event.ErrNoHistory)
	}
	ts := make([]*topic, 0, len(topics))
	for _, topicName := range topics {
		t, err := c.topicLocked(topicName)
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(ts, t) {
			ts = append(ts, t)
		}
	}
	var g *group
	if !ephemeral {
		g = c.byName[name]
	}
	if g == nil {
		c.serial++
		g = &group{c: c, name: name, ephemeral: ephemeral, gen: c.serial << 40}
		if !ephemeral {
			c.byName[name] = g
		}
		c.groups = append(slices.Clip(c.groups), g)
	}
	queues := make([]*queue, 0, len(ts))
	for _, t := range ts {
		queues = append(queues, g.queueOf(t, from))
	}
	return g, queues, nil
}

// queueOf returns the queue of a group on a topic, which it makes unless it exists.
func (g *group) queueOf(t *topic, from event.Start) *queue {
	t.mu.Lock()
	defer t.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	free := len(g.queues)
	for i, q := range g.queues {
		if q == nil {
			free = i
		} else if q.t == t {
			return q
		}
	}
	if free == len(g.queues) {
		g.queues = append(g.queues, nil)
	}
	g.queues[free] = t.attach(g, int32(free), from)
	return g.queues[free]
}

// Close implements [event.Channel]. What is unsettled is dropped: the channel was
// all that kept it.
func (c *Channel) Close(context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	topics, groups := c.topics, c.groups
	c.topics, c.byName, c.groups = nil, nil, nil
	c.mu.Unlock()
	for _, t := range topics {
		t.close()
	}
	for _, g := range groups {
		g.close()
	}
	c.quiet.wake()
	return nil
}

// close refuses everything from now on and wakes who waits for room.
func (t *topic) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.room = 0
	t.queues = nil
	t.ring = ring{}
	for _, p := range t.line {
		signal(p.wake)
	}
}

// close refuses everything from now on, wakes the members that wait and ends the
// contexts of what they have begun.
func (g *group) close() {
	end := ending{cause: event.ErrClosed}
	g.mu.Lock()
	g.gone = true
	for i := range g.slots.all {
		if l := g.slots.all[i].lease; l != nil {
			end.leases = append(end.leases, l)
		}
	}
	for _, m := range g.members {
		m.stopReceive()
		m.state = memberClosed
		if m.ended != nil {
			signal(m.ended)
		}
	}
	g.queues, g.members, g.delays, g.crashed = nil, nil, nil, 0
	g.slots, g.lanes = slots{}, lanes{}
	g.mu.Unlock()
	end.run()
}

// removeEphemeral removes the group of an ephemeral consumer that has left.
func (c *Channel) removeEphemeral(g *group) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.Contains(c.groups, g) {
		return
	}
	c.forget(g)
	g.mu.Lock()
	queues := g.queues
	g.mu.Unlock()
	for _, q := range queues {
		q.t.mu.Lock()
		g.mu.Lock()
		q.t.detach(q)
		g.mu.Unlock()
		q.t.offerLocked()
		q.t.mu.Unlock()
	}
	g.mu.Lock()
	g.gone = true
	g.queues = nil
	g.mu.Unlock()
	c.quiet.wake()
}

// forget takes a group out of the list. c is locked.
func (c *Channel) forget(g *group) {
	c.groups = slices.DeleteFunc(slices.Clone(c.groups), func(o *group) bool { return o == g })
}

// reap removes the groups of ephemeral consumers that crashed, when their lease is
// over, and returns when the next has to be removed, or never.
func (c *Channel) reap() int64 {
	if c.dying.Load() == 0 {
		return never
	}
	next := never
	for _, g := range c.allGroups() {
		g.mu.Lock()
		if !g.dying {
			g.mu.Unlock()
			continue
		}
		end := g.advance()
		if g.crashed > 0 {
			next = min(next, g.nextTime())
		}
		empty := len(g.members) == 0
		g.dying = !empty
		g.mu.Unlock()
		end.run()
		if empty {
			c.dying.Add(-1)
			c.removeEphemeral(g)
		}
	}
	return next
}
