package kafka

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// consumer is a member of a group.
type consumer struct {
	ch    *Channel
	sub   event.Subscription
	begin map[partition]kgo.Offset // where an ephemeral one starts

	told told

	afterLetters func()             // a test's, between a dead letter and the settlement of its origin; else nil
	onTransact   func(point string) // a test's, at points of a transaction; else nil

	wake chan struct{} // there is something to hand out, or the end
	more chan struct{} // there is room to read on
	over chan struct{} // closed when Receive has nothing more to say
	left chan struct{} // closed when the last session has ended

	mu      sync.Mutex
	s       *session
	tenures map[uint64]*tenure
	owned   map[partition]*tenure
	turn    []*tenure // those that have something to hand out
	count   [states]int
	delays  delays
	closing bool // nothing is begun any more
	closed  bool // and nothing settled
	waiting int
	changed chan struct{} // closed and replaced with every change, while somebody waits for one

	levels map[string]int // of the group's delay topics, by topic; 0: it has none

	txID string                   // of the member's transactions
	late map[event.Token]struct{} // committed by a transaction that nobody waited for
}

var _ event.Consumer = (*consumer)(nil)

// readAhead is how many records are read and decoded before Receive asks for them.
const readAhead = 2048

// Consumer implements [event.Channel]. The topics, and the group's own, are made
// unless they exist. The member joins while it is already there: which partitions it
// gets, and when, the group decides.
func (ch *Channel) Consumer(ctx context.Context, s event.Subscription) (_ event.Consumer, err error) {
	ctx, leave := ch.doors.enter(ctx)
	defer func() { err = leave(err) }()
	if _, err := ch.use(); err != nil {
		return nil, err
	}
	if len(s.Topics) == 0 {
		return nil, fmt.Errorf("kafka: group %q subscribes to no topic", s.Group)
	}
	c := &consumer{
		ch: ch, sub: s,
		wake: make(chan struct{}, 1), more: make(chan struct{}, 1), over: make(chan struct{}), left: make(chan struct{}),
		tenures: make(map[uint64]*tenure), owned: make(map[partition]*tenure), changed: make(chan struct{}),
	}
	c.sub.Topics = slices.Clone(s.Topics)
	c.txID = transactionalID(s.Group)
	c.delays.fire = c.comeDue
	if err := c.prepare(ctx); err != nil {
		return nil, err
	}
	first, err := c.open()
	if err != nil {
		return nil, err
	}
	if err := ch.add(c); err != nil {
		first.shut()
		return nil, err
	}
	go c.run(first)
	return c, nil
}

// prepare makes what has to be there before the first record is read.
func (c *consumer) prepare(ctx context.Context) error {
	if c.sub.Ephemeral {
		return c.ch.prepareEphemeral(ctx, c)
	}
	if err := c.ch.EnsureGroup(ctx, c.sub.Group, c.sub.From, c.sub.Topics...); err != nil {
		return err
	}
	c.levels = make(map[string]int)
	for _, topic := range c.sub.Topics {
		n, err := c.ch.levelsOf(ctx, c.sub.Group, topic)
		if err != nil {
			return err
		}
		c.levels[topic] = n
	}
	return c.ch.checkRights(ctx, c.sub.Group, c.sub.Topics)
}

// run keeps a session with the cluster: one that is cut off is replaced.
func (c *consumer) run(s *session) {
	defer close(c.left)
	for {
		s.run()
		if c.isClosing() {
			return
		}
		c.lose(c.all(s)) // what the client was given while it ended
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
			next, err := c.open()
			if err == nil {
				s = next
				break
			}
			if c.isClosing() {
				return
			}
			c.tell(err)
			select {
			case <-time.After(pause):
			case <-c.over:
				return
			}
		}
	}
}

func (c *consumer) isClosing() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing
}

func (c *consumer) tellLost(tokens []event.Token) {
	if len(tokens) > 0 && c.sub.OnLost != nil {
		c.sub.OnLost(tokens)
	}
}

// signal wakes whoever waits for a channel of capacity 1, or will wait.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// change wakes those who wait for what is in hand. The consumer is locked.
func (c *consumer) change() {
	if c.waiting > 0 {
		close(c.changed)
		c.changed = make(chan struct{})
	}
}

// until waits, with the consumer locked, until cond is true or ctx ends.
func (c *consumer) until(ctx context.Context, cond func() bool) bool {
	c.waiting++
	defer func() { c.waiting-- }()
	for !cond() {
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		c.mu.Lock()
		if ctx.Err() != nil {
			return cond()
		}
	}
	return true
}

// Receive implements [event.Consumer].
func (c *consumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	for {
		c.mu.Lock()
		if c.closing {
			c.mu.Unlock()
			return 0, event.ErrClosed
		}
		n := c.take(buf)
		room := c.count[queued] < readAhead/2
		c.mu.Unlock()
		if room {
			signal(c.more)
		}
		if n > 0 {
			return n, nil
		}
		select {
		case <-c.wake:
		case <-c.over:
			return 0, event.ErrClosed
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// share is how many deliveries of a partition are handed out before another's turn.
const share = 64

// take hands out what there is room for. The consumer is locked.
func (c *consumer) take(buf []event.Delivery) (n int) {
	if most := c.sub.InFlight; most > 0 {
		buf = buf[:min(len(buf), max(most-c.inHand(), 0))]
	}
	for n < len(buf) && len(c.turn) > 0 {
		t := c.turn[0]
		c.turn = c.turn[1:]
		t.inTurn = false
		n += t.take(buf[n:min(len(buf), n+share)])
		if t.has() {
			t.inTurn = true
			c.turn = append(c.turn, t)
		}
	}
	return n
}

func (c *consumer) inHand() int { return c.count[inHand] + c.count[begun] + c.count[held] }

// Begin implements [event.Consumer]. All deliveries of a partition share a context,
// without transactions.
func (c *consumer) Begin(t event.Token) (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l, n, s := c.find(t)
	if s == nil || c.closing && s.state != begun {
		return nil, false
	}
	if s.state != begun {
		l.set(n, begun)
	}
	if c.transacts() {
		return &delivery{&l.t.lease, c, t}, true
	}
	return &l.t.lease, true
}

// Hold implements [event.Consumer].
func (c *consumer) Hold(t event.Token, failures int) {
	c.mu.Lock()
	l, n, s := c.find(t)
	if s == nil {
		c.mu.Unlock()
		return
	}
	if failures > int(s.failures) {
		c.dropKept(s) // of an attempt that failed
	}
	s.failures = int32(failures)
	l.dirty = true
	var moves []move
	var lost []event.Token
	switch {
	case c.closing || l.t.revoking:
		lost = l.giveBack(n) // nobody runs it here any more
	case l.t.keys.parked(s.event.Key()) && s.letter == nil: // with a letter: it is a dead one itself
		moves = append(moves, l.leave(n))
		lost = append(lost, t)
	default:
		l.set(n, held)
	}
	c.change()
	o := l.t
	c.mu.Unlock()
	o.s.soil()
	c.tellLost(lost)
	o.s.moveAll(moves)
}

// Close implements [event.Consumer].
func (c *consumer) Close(ctx context.Context) error {
	c.stop()
	c.mu.Lock()
	idle := func() bool { return c.count[begun] == 0 }
	if !c.until(ctx, idle) {
		for _, t := range c.tenures {
			t.endLease(event.ErrClosed)
		}
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.sub.CancelGrace)
		c.until(grace, idle)
		cancel()
	}
	arrive, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	c.until(arrive, c.isStill)
	c.mu.Unlock()
	return c.leave(ctx)
}

// isStill reports whether nothing is on its way to another topic, from where it would
// come twice. The consumer is locked.
func (c *consumer) isStill() bool {
	if c.count[leaving] > 0 {
		return false
	}
	for _, t := range c.tenures {
		if t.keys.draining > 0 || slices.ContainsFunc(t.levels, func(v *level) bool { return v.busy }) {
			return false
		}
	}
	return true
}

// stop lets nothing more be received or begun. What was not begun, and what is held,
// is no longer in hand.
func (c *consumer) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return
	}
	c.closing = true
	close(c.over)
	for _, t := range c.tenures {
		t.wakeLevels()
		for _, l := range [...]*lane{&t.main, &t.again} {
			l.each(func(n uint64, s *slot) {
				switch s.state {
				case queued, delayed, inHand, held:
					l.set(n, gone)
				case begun, gone, leaving, settled, states:
				}
			})
		}
	}
	c.turn = nil
	c.delays.stop()
	if c.s != nil {
		c.s.stopReading()
	}
}

// leave writes what is settled and leaves the group.
func (c *consumer) leave(ctx context.Context) error {
	c.mu.Lock()
	s := c.s
	c.mu.Unlock()
	err := s.leave(ctx)
	late := time.NewTimer(leaveTimeout)
	select {
	case <-c.left:
		late.Stop()
	case <-late.C: // a question to a broker that hangs: it ends by itself
	}
	c.mu.Lock()
	c.closed = true
	for _, t := range c.tenures {
		t.endLease(event.ErrClosed)
	}
	clear(c.tenures)
	clear(c.owned)
	c.mu.Unlock()
	c.ch.remove(c)
	return err
}

// abandon closes a consumer that the channel was closed under.
func (c *consumer) abandon(ctx context.Context) error {
	ended, cancel := context.WithCancel(ctx)
	cancel()
	return c.Close(ended)
}
