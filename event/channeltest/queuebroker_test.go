package channeltest

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-go/leat/event"
)

// queueBroker is a little SQS: a queue for each group, visibility in whole
// seconds, receives that are counted whatever comes of them, members that fetch
// ahead, and either order per key with one of a key on its way at a time, or none
// and doubles now and then.
type queueBroker struct {
	fifo bool

	mu     sync.Mutex
	closed bool
	queues map[string]*queueOfGroup // by group
	change chan struct{}
	rand   *rand.Rand
	serial uint64
	copied int // deliveries of calls of many events; some come twice
}

type queueOfGroup struct {
	topics   map[string]bool
	messages []*message
}

type message struct {
	e        event.Event
	topic    string
	at       time.Time
	visible  time.Time // from when on it can be received
	receives int
	receipt  event.Token // of whoever has it; zero: nobody
}

type queueMember struct {
	b       *queueBroker
	q       *queueOfGroup
	s       event.Subscription
	ahead   []*message // fetched, not delivered
	hand    map[event.Token]*inFlight
	closing bool
	gone    bool
}

type inFlight struct {
	m     *message
	begun bool
	lease event.Lease
}

const (
	visibility   = 5 * time.Second
	queueLatency = 5 * time.Millisecond
	longestDelay = 15 * time.Minute
	longestRetry = 12 * time.Hour
)

func newQueueBroker(fifo bool) *queueBroker {
	return &queueBroker{fifo: fifo, queues: map[string]*queueOfGroup{}, change: make(chan struct{}), rand: rand.New(rand.NewPCG(rand.Uint64(), 2))}
}

func (b *queueBroker) changed() {
	close(b.change)
	b.change = make(chan struct{})
}

// wait waits with the lock held for a change, or a second.
func (b *queueBroker) wait(ctx context.Context) error {
	change := b.change
	b.mu.Unlock()
	defer b.mu.Lock()
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-change:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func wholeSeconds(d time.Duration) time.Duration {
	if short := d % time.Second; short > 0 {
		d += time.Second - short
	}
	return d
}

func (b *queueBroker) guarantees() event.Guarantees {
	return event.Guarantees{
		Channel: "queue", OrderPerKey: b.fifo, Durable: true, MaxBytes: 1 << 20, MaxDelay: longestDelay, MaxRetry: longestRetry,
		RedeliveryHorizon: 4 * 24 * time.Hour, Lease: visibility, CountsAttempts: true, CountsGiveBacks: true, GivesBack: true,
	}
}

func (b *queueBroker) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return event.Guarantees{}, event.ErrClosed
	}
	return b.guarantees(), nil
}

func (b *queueBroker) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed()
	return nil
}

type queueProducer struct {
	b     *queueBroker
	topic string
}

func (b *queueBroker) Producer(_ context.Context, topic string) (event.Producer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, event.ErrClosed
	}
	return &queueProducer{b, topic}, nil
}

func (p *queueProducer) Produce(ctx context.Context, events ...event.Event) error {
	if err := ctx.Err(); err != nil {
		return err // nothing was sent
	}
	if err := logPause(context.WithoutCancel(ctx), queueLatency); err != nil {
		return err
	}
	p.b.mu.Lock()
	defer p.b.mu.Unlock()
	if p.b.closed {
		return event.ErrClosed
	}
	var failed event.ProduceError
	for i, e := range events {
		err := e.Validate()
		delay := time.Until(e.NotBefore())
		switch {
		case err != nil:
		case delay > longestDelay:
			err = event.ErrDelayTooLong
		case len(e.Data()) > 1<<20-1000:
			err = event.ErrTooLarge
		}
		if err != nil {
			failed.Failed = append(failed.Failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: err})
			continue
		}
		for _, q := range p.b.queues {
			if !q.topics[p.topic] {
				continue
			}
			copies := 1
			if !p.b.fifo && len(events) > 15 { // a case with few would have to know
				if p.b.copied++; p.b.copied%50 == 0 { // counted: by chance it is often, once in a while
					copies = 2
				}
			}
			for range copies {
				m := &message{e: e, topic: p.topic, at: time.Now()}
				if delay > 0 {
					m.visible = time.Now().Add(wholeSeconds(delay))
				}
				at := len(q.messages)
				if !p.b.fifo {
					at = p.b.rand.IntN(at + 1)
				}
				q.messages = slices.Insert(q.messages, at, m)
			}
		}
	}
	p.b.changed()
	if failed.Failed != nil {
		return &failed
	}
	return nil
}

func (b *queueBroker) Consumer(_ context.Context, s event.Subscription) (event.Consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return nil, event.ErrClosed
	case s.From.Kind == event.StartOldest || s.From.Kind == event.StartSince:
		return nil, event.ErrNoHistory
	}
	q := b.queues[s.Group]
	if q == nil {
		q = &queueOfGroup{topics: map[string]bool{}}
		b.queues[s.Group] = q
	}
	for _, topic := range s.Topics {
		q.topics[topic] = true
	}
	return &queueMember{b: b, q: q, s: s, hand: map[event.Token]*inFlight{}}, nil
}

// fetch fetches ahead: up to ten. The broker is locked.
func (m *queueMember) fetch() {
	now := time.Now()
	busy := map[string]bool{}
	for _, x := range m.q.messages {
		key := x.topic + "\x00" + x.e.Key()
		ordered := m.b.fifo && x.e.Key() != "" && x.e.NotBefore().IsZero()
		switch {
		case len(m.ahead) == 10:
			return
		case x.receipt != event.Token{} || x.visible.After(now) || ordered && busy[key]:
			if ordered {
				busy[key] = true
			}
			continue
		}
		if ordered {
			busy[key] = true
		}
		m.b.serial++
		x.receipt = event.Token{m.b.serial, 7}
		x.receives++
		m.ahead = append(m.ahead, x)
	}
}

func (m *queueMember) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	for {
		if m.closing || m.gone || m.b.closed {
			return 0, event.ErrClosed
		}
		if len(m.ahead) == 0 {
			m.fetch()
		}
		n := 0
		for n < len(buf) && len(m.ahead) > 0 && (m.s.InFlight == 0 || len(m.hand) < m.s.InFlight) {
			x := m.ahead[0]
			m.ahead = m.ahead[1:]
			m.hand[x.receipt] = &inFlight{m: x}
			buf[n] = event.Delivery{Event: x.e, Topic: x.topic, Attempt: x.receives, EnqueuedAt: x.at, Token: x.receipt}
			n++
		}
		if n > 0 {
			return n, nil
		}
		if err := m.b.wait(ctx); err != nil {
			return 0, err
		}
	}
}

func (m *queueMember) Begin(t event.Token) (context.Context, bool) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	d := m.hand[t]
	if d == nil || m.gone || m.closing && !d.begun {
		return nil, false
	}
	d.begun = true
	return &d.lease, true
}

func (m *queueMember) Hold(t event.Token, _ int) {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	d := m.hand[t]
	if d == nil {
		return
	}
	d.begun = false
	if m.closing {
		m.giveBack(d, 0)
		delete(m.hand, t)
	}
	m.b.changed()
}

func (m *queueMember) giveBack(d *inFlight, after time.Duration) {
	d.m.receipt = event.Token{}
	d.m.visible = time.Now().Add(wholeSeconds(after))
	if after == 0 {
		d.m.visible = time.Time{}
	}
}

func (m *queueMember) Settle(ctx context.Context, ss []event.Settlement) error {
	_ = logPause(context.WithoutCancel(ctx), queueLatency)
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	if m.gone || m.b.closed {
		return event.ErrClosed
	}
	failed := map[int]error{}
	for i, s := range ss {
		d := m.hand[s.Token]
		switch {
		case d == nil:
			failed[i] = event.ErrLeaseLost
			continue
		case s.Kind == event.SettlePark:
			failed[i] = event.ErrNotSupported
			continue
		case s.Kind == event.SettleRetry && s.After > longestRetry:
			failed[i] = event.ErrDelayTooLong
			continue
		case s.Kind == event.SettleAck, s.Kind == event.SettleDead:
			m.q.messages = slices.DeleteFunc(m.q.messages, func(x *message) bool { return x == d.m })
		default:
			m.giveBack(d, s.After)
		}
		delete(m.hand, s.Token)
	}
	m.b.changed()
	if len(failed) > 0 {
		return &event.SettleError{Failed: failed}
	}
	return nil
}

func (m *queueMember) Close(ctx context.Context) error {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	m.closing = true
	for _, x := range m.ahead {
		x.receipt = event.Token{}
	}
	m.ahead = nil
	for t, d := range m.hand {
		if !d.begun {
			m.giveBack(d, 0)
			delete(m.hand, t)
		}
	}
	m.b.changed()
	for len(m.hand) > 0 && m.b.wait(ctx) == nil {
	}
	for _, d := range m.hand {
		d.lease.End(event.ErrClosed)
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.s.CancelGrace)
	defer cancel()
	for len(m.hand) > 0 && m.b.wait(grace) == nil {
	}
	for _, d := range m.hand {
		m.giveBack(d, 0)
	}
	m.gone, m.hand = true, nil
	m.b.changed()
	return nil
}

// crash lets a member vanish: its messages become visible again after a while.
func (m *queueMember) crash() {
	m.b.mu.Lock()
	defer m.b.mu.Unlock()
	m.gone = true
	time.AfterFunc(visibility, func() {
		m.b.mu.Lock()
		defer m.b.mu.Unlock()
		for _, x := range m.ahead {
			x.receipt = event.Token{}
		}
		for _, d := range m.hand {
			d.lease.End(event.ErrLeaseLost)
			m.giveBack(d, 0)
		}
		m.hand, m.ahead = nil, nil
		m.b.changed()
	})
	m.b.changed()
}

func TestQueueBroker(t *testing.T) {
	for name, fifo := range map[string]bool{"fifo": true, "standard": false} {
		t.Run(name, func(t *testing.T) {
			Run(t, Harness{
				Open:     func(testing.TB) event.Channel { return newQueueBroker(fifo) },
				Declared: &Declaration{Guarantees: newQueueBroker(fifo).guarantees()},
				Crash:    func(c event.Consumer) { c.(*queueMember).crash() },
				Bubble:   true,
				Events:   1000,
				Delay:    10 * time.Second,
			})
		})
	}
}
