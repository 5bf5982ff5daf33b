package watermillbridge

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// subscription is a call of Subscribe: a member of the group with one delivery in hand.
type subscription struct {
	s      *Subscriber
	c      event.Consumer
	out    chan *message.Message
	log    watermill.LoggerAdapter
	onStop func() bool

	ctx    context.Context // ends when no more is to be received
	cancel context.CancelFunc
	late   context.Context // ends CloseTimeout after that: the consumer lives until then
	cut    context.CancelFunc
}

// run hands messages out until the subscription ends.
func (u *subscription) run() {
	defer close(u.out)
	defer u.cut()
	defer u.cancel()
	defer func() { _ = u.onStop() }()
	buf := make([]event.Delivery, 1)
	for {
		n, err := u.c.Receive(u.ctx, buf)
		if err != nil {
			break
		}
		if n > 0 {
			u.handle(buf[0])
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel() // what was in hand has had its time
	if err := u.c.Close(ended); err != nil {
		u.log.Error("What was settled last may come again", err, nil)
	}
}

// outcome is how a message came out of its handler.
type outcome int

const (
	acked  outcome = iota
	nacked         // it is to come again
	kept           // nobody took it, or said anything about it in time
	lost           // it is another member's
)

// handle hands a delivery out until it is acknowledged or given back.
func (u *subscription) handle(d event.Delivery) {
	for nacks := d.Failures; ; {
		lease, ok := u.c.Begin(d.Token)
		if !ok {
			return
		}
		switch u.offer(lease, d) {
		case acked:
			u.settle(lease, event.Ack(d.Token))
			return
		case lost:
			return
		case kept:
			u.c.Hold(d.Token, nacks) // the channel is about to be closed: it goes back then
			return
		case nacked:
		}
		nacks++
		wait := u.s.cfg.NackDelay(nacks)
		if u.settle(lease, event.Retry(d.Token, wait, nacks)) {
			return
		}
		u.c.Hold(d.Token, nacks) // the channel can't take it back: it waits here
		if sleep(u.ctx, wait) != nil {
			return
		}
	}
}

// offer hands a message out and waits for what becomes of it.
func (u *subscription) offer(lease context.Context, d event.Delivery) outcome {
	m := messageOf(d)
	ctx, cancel := context.WithCancel(lease)
	defer cancel()
	m.SetContext(ctx)
	select {
	case u.out <- m:
	case <-lease.Done():
		return lost
	case <-u.ctx.Done():
		return kept
	}
	select {
	case <-m.Acked():
		return acked
	case <-m.Nacked():
		return nacked
	case <-lease.Done():
		return lost
	case <-u.late.Done():
		u.log.Error("Not acknowledged in time, it will come again", context.DeadlineExceeded, watermill.LogFields{"message_uuid": m.UUID})
		return kept
	}
}

// messageOf returns the message of a delivery. What is no event is handed out as bytes:
// Watermill's messages are no more.
func messageOf(d event.Delivery) *message.Message {
	if d.Err != nil {
		return message.NewMessage("", d.Raw)
	}
	return toMessage(d.Event)
}

// settle settles, again and again until it is recorded, the delivery is lost or the time to
// close is over. It reports false where the channel doesn't support that.
func (u *subscription) settle(lease context.Context, s event.Settlement) bool {
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		err := u.c.Settle(u.late, []event.Settlement{s}) //nolint:contextcheck // it may go on after the lease
		if refused, some := errors.AsType[*event.SettleError](err); some {
			err = refused.Failed[0]
		}
		switch {
		case err == nil:
			return true
		case errors.Is(err, event.ErrNotSupported), errors.Is(err, event.ErrDelayTooLong):
			return false
		case errors.Is(err, event.ErrLeaseLost), errors.Is(err, event.ErrClosed):
			u.log.Error("It was settled too late and comes again", err, nil)
			return true
		}
		u.log.Error("It can't be settled yet", err, nil)
		if lease.Err() != nil || sleep(u.late, pause) != nil { //nolint:contextcheck // as above
			return true
		}
	}
}

// sleep waits for d, or for ctx to end.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
