package watermillbridge

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// source is a subscription at Watermill, begun anew whenever it ends.
type source struct {
	c      *consumer
	s      message.Subscriber
	topic  string
	origin string // where its events were published
	again  bool   // it is the group's redrive topic
	slots  chan struct{}

	mu       sync.Mutex
	messages <-chan *message.Message
	cancel   context.CancelFunc
	late     chan struct{} // closed when the subscription should have ended
	stopped  bool
}

// open subscribes.
func (x *source) open() error {
	ctx, cancel := context.WithCancel(x.c.life)
	var messages <-chan *message.Message
	err := within(ctx, "wait for the subscription", func() (err error) {
		messages, err = x.s.Subscribe(ctx, x.topic)
		return err
	})
	if err != nil {
		cancel()
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	late := make(chan struct{})
	context.AfterFunc(ctx, func() { time.AfterFunc(endTime, func() { close(late) }) })
	x.messages, x.cancel, x.late = messages, cancel, late
	if x.stopped {
		cancel()
	}
	return nil
}

// restart ends the subscription; another follows. What it had in hand is the broker's.
func (x *source) restart() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.cancel()
}

// stop ends the subscription for good.
func (x *source) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stopped = true
	x.cancel()
}

func (x *source) isStopped() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.stopped || x.c.life.Err() != nil
}

// run takes messages in until the consumer is closed.
func (x *source) run() {
	for {
		x.receive()
		x.restart() // its context is of no more use
		if x.isStopped() {
			return
		}
		for pause := 100 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
			if sleep(x.c.life, pause) != nil || x.isStopped() {
				return
			}
			err := x.open()
			if err == nil {
				break
			}
			x.c.tell(fmt.Errorf("watermillbridge: %s: group %q: subscribe to %q again: %w",
				x.c.ch.ps.Guarantees.Channel, x.c.sub.Group, x.topic, err))
		}
	}
}

// receive takes messages in until the subscription ends.
func (x *source) receive() {
	x.mu.Lock()
	messages, late := x.messages, x.late
	x.mu.Unlock()
	var watches sync.WaitGroup
	defer watches.Wait()
	ended := make(chan struct{})
	defer close(ended)
	for {
		x.slots <- struct{}{}
		m := x.next(messages, late)
		if m == nil {
			<-x.slots
			return
		}
		in := x.c.arrive(x, m)
		switch {
		case in == nil: // it closes
			if x.c.ch.ps.Returns {
				m.Nack()
			}
			switch {
			case cap(x.slots) == 1: // nothing else is in hand, and the last Ack was passed on
				x.stop()
			case x.c.ch.ps.Returns: // it would come again at once
				<-x.c.life.Done()
			default:
				x.unanswered(m, x.lost(m))
			}
			<-x.slots
		case cap(x.slots) == 1:
			x.watch(in, nil)
		default:
			watches.Go(func() { x.watch(in, ended) })
		}
	}
}

// next returns the next message; nil: the subscription has ended, or should have.
func (x *source) next(messages <-chan *message.Message, late <-chan struct{}) *message.Message {
	select {
	case m := <-messages:
		return m
	case <-late:
		x.c.tell(fmt.Errorf("watermillbridge: %s: group %q: the subscription to %q has not ended after %v: it is left alone",
			x.c.ch.ps.Guarantees.Channel, x.c.sub.Group, x.topic, endTime))
		return nil
	}
}

// watch waits until a message has left the hand, or the subscription that could
// acknowledge it has ended. What is lost is given back too: some subscriptions end when
// they have an answer.
func (x *source) watch(in *incoming, ended <-chan struct{}) {
	defer func() { <-x.slots }()
	lost := x.lost(in.m)
	select {
	case <-in.over:
		x.unanswered(in.m, lost)
		return
	case <-lost:
		defer in.m.Ack()
	case <-ended:
	case <-in.m.Context().Done():
	}
	if x.c.lose(in) {
		in.giveBack()
	}
}

// lost returns what is closed when a message is no longer ours; nil: nobody knows.
func (x *source) lost(m *message.Message) <-chan struct{} {
	if x.c.ch.ps.Lost == nil {
		return nil
	}
	return x.c.ch.ps.Lost(m)
}

// unanswered lets a subscription go on that waits for the answer to a message which was
// given back without one, while others of it still run: when it is no longer ours.
func (x *source) unanswered(m *message.Message, lost <-chan struct{}) {
	if lost == nil {
		return
	}
	select {
	case <-m.Acked():
	case <-m.Nacked():
	case <-lost:
		m.Ack()
	case <-x.c.life.Done():
	}
}
