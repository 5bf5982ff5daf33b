package bustest

import (
	"context"
	"time"

	"github.com/leat-go/leat/event"
)

// endpoint is the broker as one process sees it. When the process has died all its
// calls fail.
type endpoint struct {
	b       *broker
	gone    bool
	members map[*brokerGroup]*member
	task    func() *task // that runs now
}

func newEndpoint(b *broker, current func() *task) *endpoint {
	return &endpoint{b: b, members: make(map[*brokerGroup]*member), task: current}
}

var _ event.Channel = (*endpoint)(nil)

// Producer implements [event.Channel].
func (p *endpoint) Producer(_ context.Context, topic string) (event.Producer, error) {
	return endpointProducer{p, topic}, nil
}

// Consumer implements [event.Channel].
func (p *endpoint) Consumer(_ context.Context, s event.Subscription) (event.Consumer, error) {
	g := p.b.group(s.Group)
	g.topics = s.Topics
	m := &member{p: p, g: g, s: s}
	p.members[g] = m
	return m, nil
}

// Guarantees implements [event.Channel].
func (p *endpoint) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	return event.Guarantees{
		Channel: "exploration", OrderPerKey: true, MaxDelay: -1, MaxRetry: -1, Lease: time.Minute,
		CountsAttempts: true, GivesBack: true, KeepsFailures: true, Positions: true,
	}, nil
}

// Close implements [event.Channel].
func (p *endpoint) Close(context.Context) error {
	p.gone = true
	return nil
}

type endpointProducer struct {
	p     *endpoint
	topic string
}

// Produce implements [event.Producer]. The process can die before it.
func (o endpointProducer) Produce(ctx context.Context, events ...event.Event) error {
	if t, ok := ctx.Value(taskKey{}).(*task); ok && t != nil {
		t.pause("produce")
	}
	if o.p.gone {
		return event.ErrClosed
	}
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return err
		}
		o.p.b.accept(o.topic, e)
	}
	return nil
}

// member is a consumer.
type member struct {
	p *endpoint
	g *brokerGroup
	s event.Subscription

	buf []*entry
}

// Receive implements [event.Consumer], but that it doesn't wait.
func (m *member) Receive(_ context.Context, buf []event.Delivery) (int, error) {
	if m.p.gone {
		return 0, event.ErrClosed
	}
	m.buf = m.g.deliverable(m.p, time.Now(), m.buf[:0], len(buf))
	for i, en := range m.buf {
		m.p.b.serial++
		en.holder, en.token = m.p, m.p.b.serial
		en.attempts++
		en.retried = false
		buf[i] = event.Delivery{
			Event: en.e, Topic: en.topic, Position: event.Position{Offset: en.offset}, Attempt: en.attempts,
			Failures: en.failures, Redriven: en.redriven, EnqueuedAt: en.at, Token: en.tokenOf(),
		}
	}
	return len(m.buf), nil
}

func (m *member) mine(t event.Token) *entry {
	if m.p.gone {
		return nil
	}
	for _, en := range m.g.entries {
		if en.offset == int64(t[0]) && en.holder == m.p && en.token == t[1] {
			return en
		}
	}
	return nil
}

// Begin implements [event.Consumer].
func (m *member) Begin(t event.Token) (context.Context, bool) {
	en := m.mine(t)
	if en == nil {
		return nil, false
	}
	if en.lease == nil {
		en.lease = &lease{p: m.p}
	}
	en.begun = true
	return en.lease, true
}

// Hold implements [event.Consumer].
func (m *member) Hold(t event.Token, failures int) {
	if en := m.mine(t); en != nil {
		en.begun, en.failures = false, failures
	}
}

// Settle implements [event.Consumer].
func (m *member) Settle(_ context.Context, ss []event.Settlement) error {
	if m.p.gone {
		return event.ErrClosed
	}
	var failed map[int]error
	for i, s := range ss {
		if err := m.settle(s); err != nil {
			if failed == nil {
				failed = make(map[int]error)
			}
			failed[i] = err
		}
	}
	if failed != nil {
		return &event.SettleError{Failed: failed}
	}
	return nil
}

func (m *member) settle(s event.Settlement) error {
	en := m.mine(s.Token)
	if en == nil {
		return event.ErrLeaseLost
	}
	switch s.Kind {
	case event.SettleAck:
		m.g.remove(en)
		m.g.settled = append(m.g.settled, en)
	case event.SettleRetry:
		en.leave()
		en.failures, en.retried, en.due = s.Failures, true, time.Now().Add(s.After)
	case event.SettleRelease:
		en.leave()
		en.attempts--
	case event.SettleDead:
		m.p.b.dead = append(m.p.b.dead, event.DeadLetter{
			Topic: en.topic, Group: m.g.name, Event: en.e, Cause: *s.Cause, FailedAt: time.Now(),
		})
		m.g.remove(en)
	default:
		return event.ErrNotSupported
	}
	return nil
}

// Close implements [event.Consumer].
func (m *member) Close(context.Context) error { return nil }
