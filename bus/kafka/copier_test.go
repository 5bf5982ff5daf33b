package kafka_test

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// copier is a member that copies events, and can vanish.
type copier struct {
	ch    *kafka.Channel
	c     event.Consumer
	cuts  *kafka.Cuts
	out   event.Producer
	batch int
	dead  atomic.Bool
}

func newCopier(ctx context.Context, cfg kafka.Config, name string, batch int) (*copier, error) {
	m := &copier{ch: kafka.New(cfg), batch: batch}
	m.cuts = kafka.NewCuts(m.ch)
	var err error
	if m.out, err = m.ch.Producer(ctx, name+"-out"); err != nil {
		return nil, err
	}
	m.c, err = m.ch.Consumer(ctx, event.Subscription{Group: name + "-g", Topics: []string{name + "-in"}, Grace: time.Second, CancelGrace: time.Second})
	return m, err
}

// crash lets the process vanish, as far as the brokers can tell.
func (m *copier) crash() {
	m.dead.Store(true)
	m.cuts.Crash(m.c)
}

// run copies until the copier crashes, or ctx ends.
func (m *copier) run(ctx context.Context) {
	buf := make([]event.Delivery, m.batch)
	for ctx.Err() == nil && !m.dead.Load() {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		n, err := m.c.Receive(wait, buf)
		cancel()
		if err != nil {
			continue
		}
		acks := make([]event.Settlement, 0, n)
		for _, d := range buf[:n] {
			lease, ok := m.c.Begin(d.Token)
			if !ok || m.out.Produce(event.WithCollected(lease), d.Event) != nil {
				continue
			}
			acks = append(acks, event.Ack(d.Token))
		}
		for len(acks) > 0 {
			acks = unsettled(acks, m.c.Settle(ctx, acks))
			if m.dead.Load() || ctx.Err() != nil {
				break
			}
			if len(acks) > 0 {
				<-time.After(10 * time.Millisecond) // not to spin while the brokers are away
			}
		}
	}
	m.close()
}

// unsettled returns what to settle again: what was lost is another member's.
func unsettled(acks []event.Settlement, err error) (again []event.Settlement) {
	refused, some := errors.AsType[*event.SettleError](err)
	switch {
	case err == nil:
		return nil
	case !some:
		return acks
	}
	for i, err := range refused.Failed {
		if !errors.Is(err, event.ErrLeaseLost) {
			again = append(again, acks[i])
		}
	}
	return again
}

func (m *copier) close() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = m.ch.Close(ended)
}
