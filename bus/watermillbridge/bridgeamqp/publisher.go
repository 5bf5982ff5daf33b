package bridgeamqp

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/leat-go/leat/event"
)

// publisher publishes, each message on a channel that nobody else uses meanwhile, and
// waits until the broker has confirmed it.
//
// It is not the library's. That one opens a channel for every message, or has a pool that
// loses one whenever it can't be opened again after the connection was lost: publishers
// then wait for ever, and its Close panics.
type publisher struct {
	link   *link
	idle   chan *confirmed // as many as publish at once
	closed chan struct{}

	mu       sync.Mutex
	declared map[string]bool // exchanges
}

// confirmed is a channel in confirm mode.
type confirmed struct {
	*amqp091.Channel

	ended chan *amqp091.Error // why it was closed
}

const (
	mostIdle = 64 // watermillbridge publishes so many at once
	// patience is how long a publish waits for a connection that was lost.
	patience = 30 * time.Second
)

func newPublisher(l *link) *publisher {
	return &publisher{
		link: l, idle: make(chan *confirmed, mostIdle), closed: make(chan struct{}),
		declared: make(map[string]bool),
	}
}

// Publish implements [message.Publisher]. The order of two messages is that of their
// calls, if one returned before the other began.
func (p *publisher) Publish(topic string, ms ...*message.Message) error {
	for _, m := range ms {
		if err := p.publish(topic, m); err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) publish(topic string, m *message.Message) error {
	out, err := marshal(m)
	if err != nil {
		return err
	}
	ch, err := p.take()
	if err != nil {
		return err
	}
	if err := p.send(ch, topic, out); err != nil {
		p.forget(topic) // somebody may have removed it
		_ = ch.Close()  // it may be closed already
		return err
	}
	select {
	case p.idle <- ch:
	default:
		_ = ch.Close() // it is one too many
	}
	return nil
}

// send publishes on a channel and waits for the broker. After an error the channel is of
// no use.
func (p *publisher) send(ch *confirmed, topic string, out amqp091.Publishing) error {
	if err := p.declare(ch.Channel, topic); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm(topic, "", false, false, out)
	if err != nil {
		return err
	}
	if confirm.Wait() {
		return nil
	}
	select {
	case err := <-ch.ended:
		if err != nil {
			return fmt.Errorf("the channel was closed before the message was confirmed: %w", err)
		}
	default:
	}
	return errors.New("the broker refused the message, or went away before it confirmed it")
}

// reuse returns an idle channel; nil: there is none.
func (p *publisher) reuse() *confirmed {
	for {
		select {
		case ch := <-p.idle:
			if !ch.IsClosed() {
				return ch
			}
		default:
			return nil
		}
	}
}

// take returns an open channel. It waits for the broker if that is away.
func (p *publisher) take() (*confirmed, error) {
	if ch := p.reuse(); ch != nil {
		return ch, nil
	}
	began := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		ch, err := p.open()
		if err == nil || errors.Is(err, event.ErrClosed) || time.Since(began)+pause > patience {
			return ch, err
		}
		select {
		case <-p.closed:
			return nil, event.ErrClosed
		case <-time.After(pause):
		}
	}
}

func (p *publisher) open() (*confirmed, error) {
	ch, err := p.link.channel()
	if err != nil {
		return nil, err
	}
	c := &confirmed{ch, ch.NotifyClose(make(chan *amqp091.Error, 1))}
	if err := ch.Confirm(false); err != nil {
		_ = ch.Close() // it is of no use
		return nil, fmt.Errorf("ask for confirms: %w", err)
	}
	return c, nil
}

// declare makes the exchange of a topic, the first time.
func (p *publisher) declare(ch *amqp091.Channel, topic string) error {
	p.mu.Lock()
	done := p.declared[topic]
	p.mu.Unlock()
	if done {
		return nil
	}
	if err := declare(ch, topic); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.declared[topic] = true
	return nil
}

func (p *publisher) forget(topic string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.declared, topic)
}

// Close implements [message.Publisher]. It is called once.
func (p *publisher) Close() error {
	close(p.closed)
	return p.link.close()
}
