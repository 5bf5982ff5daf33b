package bridgeamqp

import (
	"errors"
	"fmt"
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
	return &publisher{link: l, idle: make(chan *confirmed, mostIdle), closed: make(chan struct{})}
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

// publish publishes a message, and again when the connection was lost before it was
// confirmed: then the broker may have it twice.
func (p *publisher) publish(topic string, m *message.Message) error {
	out, err := marshal(m)
	if err != nil {
		return err
	}
	for began := time.Now(); ; {
		ch, err := p.take()
		if err != nil {
			return err
		}
		err = ch.send(topic, out)
		if err == nil {
			p.put(ch)
			return nil
		}
		_ = ch.Close() // it may be closed already
		if !lost(err) || time.Since(began) > patience {
			return err
		}
	}
}

var errRefused = errors.New("the broker refused the message")

// send publishes to the exchange of a topic and waits for the broker. After an error the
// channel is of no use. An exchange that somebody has removed is not made again: no queue
// would be bound to it, and the broker would confirm and drop all.
func (ch *confirmed) send(topic string, out amqp091.Publishing) error {
	confirm, err := ch.PublishWithDeferredConfirm(topic, "", false, false, out)
	if err != nil || confirm.Wait() {
		return err
	}
	select {
	case err := <-ch.ended:
		if err == nil {
			err = amqp091.ErrClosed
		}
		return fmt.Errorf("the channel was closed before the message was confirmed: %w", err)
	default:
		return errRefused
	}
}

// lost reports whether the connection is what failed, and not the message: the broker
// didn't say so, or said that it stops.
func lost(err error) bool {
	if said, ok := errors.AsType[*amqp091.Error](err); ok {
		return !said.Server || said.Code == amqp091.ConnectionForced
	}
	return !errors.Is(err, errRefused)
}

// put lets others use a channel.
func (p *publisher) put(ch *confirmed) {
	select {
	case p.idle <- ch:
	default:
		_ = ch.Close() // it is one too many
	}
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

// Close implements [message.Publisher]. It is called once.
func (p *publisher) Close() error {
	close(p.closed)
	return p.link.close()
}
