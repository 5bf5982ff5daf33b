package killtest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// Plan says where a process ends itself.
type Plan struct {
	Point string // "" is nowhere
	Pass  int64  // the how manieth time it comes there
	// Within is how long after that at most; until then the process goes on. So it ends in
	// the middle of what comes behind the point.
	Within time.Duration
}

// Points are the points of a process. The zero value has no plan.
type Points struct {
	Plan Plan

	passed  atomic.Int64
	working sync.Once
}

// Pass says that the process has come to a point, where it may end.
func (p *Points) Pass(point string) {
	p.working.Do(func() { fmt.Fprint(os.Stdout, working) })
	if point != p.Plan.Point || p.passed.Add(1) != p.Plan.Pass {
		return
	}
	if p.Plan.Within > 0 {
		time.AfterFunc(rand.N(p.Plan.Within), Die)
		return
	}
	Die()
}

// The points of what [Points.Channel] returns.
const (
	BeforeSettle  = "before the ack"
	AfterSettle   = "after the ack"
	BeforeProduce = "before the publish"
	AfterProduce  = "after the publish"
)

// Channel returns ch with points before and behind each Settle and Produce.
func (p *Points) Channel(ch Engine) event.Channel { return channel{ch, p} }

type channel struct {
	Engine

	points *Points
}

func (c channel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	m, err := c.Engine.Consumer(ctx, s)
	if err != nil {
		return nil, err
	}
	return consumer{m, c.points}, nil
}

func (c channel) Producer(ctx context.Context, topic string) (event.Producer, error) {
	q, err := c.Engine.Producer(ctx, topic)
	if err != nil {
		return nil, err
	}
	return producer{q, c.points}, nil
}

type consumer struct {
	event.Consumer

	points *Points
}

func (c consumer) Settle(ctx context.Context, s []event.Settlement) error {
	c.points.Pass(BeforeSettle)
	err := c.Consumer.Settle(ctx, s)
	c.points.Pass(AfterSettle)
	return err
}

type producer struct {
	event.Producer

	points *Points
}

func (q producer) Produce(ctx context.Context, events ...event.Event) error {
	q.points.Pass(BeforeProduce)
	err := q.Producer.Produce(ctx, events...)
	q.points.Pass(AfterProduce)
	return err
}
