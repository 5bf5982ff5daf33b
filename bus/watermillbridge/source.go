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
	stopped  bool
}

// open subscribes.
func (x *source) open() error {
	ctx, cancel := context.WithCancel(x.c.life)
	messages, err := x.s.Subscribe(ctx, x.topic)
	if err != nil {
		cancel()
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.messages, x.cancel = messages, cancel
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
	messages := x.messages
	x.mu.Unlock()
	var watches sync.WaitGroup
	defer watches.Wait()
	ended := make(chan struct{})
	defer close(ended)
	for {
		x.slots <- struct{}{}
		m, ok := <-messages
		if !ok {
			<-x.slots
			return
		}
		in := x.c.arrive(x, m)
		switch {
		case in == nil: // it closes: the subscriber may wait for somebody to read
			if x.c.ch.ps.Returns {
				m.Nack()
			}
			if cap(x.slots) == 1 { // it got the message after the Ack of the last, and would get it again and again
				x.stop()
			}
			<-x.slots
		case cap(x.slots) == 1:
			x.watch(in, nil)
		default:
			watches.Go(func() { x.watch(in, ended) })
		}
	}
}

// watch waits until a message has left the hand, or the subscription that could
// acknowledge it has ended.
func (x *source) watch(in *incoming, ended <-chan struct{}) {
	defer func() { <-x.slots }()
	select {
	case <-in.over:
		return
	case <-ended:
	case <-in.m.Context().Done():
	}
	x.c.lose(in)
}
