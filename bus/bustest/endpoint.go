package bustest

import (
	"context"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// endpoint is the broker as one process sees it. When the process has died all its
// calls fail, but for a look at the dead letters.
type endpoint struct {
	b       *broker
	gone    bool
	durable bool
	members []*member
	settled []uint64         // what it acked or made dead, by the number in the token
	task    func() *task     // that runs now; may be nil
	produce func(typ string) // called before each event is accepted; may be nil
	life    life
}

func newEndpoint(b *broker) *endpoint {
	b.alive++
	p := &endpoint{b: b, settled: make([]uint64, 0, 8)}
	p.life = life{context.Background(), p}
	return p
}

// life is the context that a process is started with; it leads to the task that runs.
type life struct {
	context.Context

	p *endpoint
}

// Value returns the task that runs now under its key.
func (l *life) Value(key any) any {
	if _, mine := key.(taskKey); mine {
		return l.p.running()
	}
	return l.Context.Value(key)
}

// running returns the task that runs now, or nil.
func (p *endpoint) running() any {
	if p.task == nil {
		return nil
	}
	return p.task()
}

var (
	_ event.Channel     = (*endpoint)(nil)
	_ event.DeadLetters = (*endpoint)(nil)
)

// memberOf returns the consumer of a group.
func (p *endpoint) memberOf(g *brokerGroup) *member {
	for _, m := range p.members {
		if m.g == g {
			return m
		}
	}
	return nil
}

// Producer implements [event.Channel].
func (p *endpoint) Producer(_ context.Context, topic string) (event.Producer, error) {
	if p.gone {
		return nil, event.ErrClosed
	}
	return &endpointProducer{p, topic}, nil
}

// Consumer implements [event.Channel].
func (p *endpoint) Consumer(_ context.Context, s event.Subscription) (event.Consumer, error) {
	switch {
	case p.gone:
		return nil, event.ErrClosed
	case s.From.Kind == event.StartOldest || s.From.Kind == event.StartSince:
		return nil, event.ErrNoHistory
	case s.Ephemeral:
		return nil, event.ErrNotSupported
	}
	g := p.b.group(s.Group)
	for _, topic := range s.Topics {
		g.join(topic)
	}
	m := &member{p: p, g: g, s: s}
	p.members = append(p.members, m)
	return m, nil
}

// Guarantees implements [event.Channel].
func (p *endpoint) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	if p.gone {
		return event.Guarantees{}, event.ErrClosed
	}
	return guarantees(p.durable), nil
}

func guarantees(durable bool) event.Guarantees {
	return event.Guarantees{
		Channel: "exploration", Durable: durable, OrderPerKey: true, MaxDelay: -1, MaxRetry: -1, Lease: time.Minute,
		CountsAttempts: true, GivesBack: true, KeepsFailures: true, Parks: true, Positions: true,
	}
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

// Produce implements [event.Producer]. The process can die before each of the events.
func (o *endpointProducer) Produce(ctx context.Context, events ...event.Event) error {
	if o.p.gone {
		return event.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	var failed []event.ProduceFailure
	for i, e := range events {
		if err := e.Validate(); err != nil {
			failed = append(failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: err})
			continue
		}
		if o.p.produce != nil {
			o.p.produce(e.Type())
		}
		if o.p.gone {
			return event.ErrClosed
		}
		o.p.b.accept(o.topic, e)
	}
	if failed != nil {
		return &event.ProduceError{Failed: failed}
	}
	return nil
}

func (g *brokerGroup) join(topic string) {
	if !slices.Contains(g.topics, topic) {
		g.topics = append(g.topics, topic)
	}
}
