package killtest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// Engine is what the channels of the tests can do.
type Engine interface {
	event.Channel
	event.Provisioner
	event.LagReporter
	event.DeadLetters
}

// Load produces events, one in three twice, in topics that are named as the application that
// handles their events.
type Load struct {
	Channel Engine
	Apps    []string
	Event   func(id string, n int) event.Event // the n-th event of a topic

	ended chan struct{}
	all   sync.WaitGroup
	mu    sync.Mutex
	apps  map[string]string // by id
	err   error
}

// Partitions is how many each topic has.
const Partitions = 4

// Start makes the topics, and produces until End.
func (l *Load) Start(ctx context.Context) error {
	l.ended, l.apps = make(chan struct{}), make(map[string]string)
	for _, app := range l.Apps {
		if err := l.Channel.EnsureTopic(ctx, event.TopicSpec{Name: app, Partitions: Partitions}); err != nil {
			return err
		}
	}
	for _, app := range l.Apps {
		p, err := l.Channel.Producer(ctx, app)
		if err != nil {
			return err
		}
		l.all.Go(func() {
			if err := l.produce(ctx, p, app); err != nil {
				l.mu.Lock()
				l.err = err
				l.mu.Unlock()
			}
		})
	}
	return nil
}

func (l *Load) produce(ctx context.Context, p event.Producer, app string) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; {
		var events []event.Event
		for range 3 {
			n++
			events = append(events, l.Event(fmt.Sprint(app, "-", n), n))
		}
		l.mu.Lock()
		for _, e := range events {
			l.apps[e.ID()] = app
		}
		l.mu.Unlock()
		if err := p.Produce(ctx, append(events, events[0])...); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-l.ended:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// End ends it, and returns the application that handles each event, by its id.
func (l *Load) End() (map[string]string, error) {
	close(l.ended)
	l.all.Wait()
	return l.apps, l.err
}

// Quiet waits until a group of each application has handled all, which none of them may
// make a dead letter.
func (l *Load) Quiet(ctx context.Context, group string) error {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for _, app := range l.Apps {
		for {
			lag, err := l.Channel.Lag(ctx, app, app+"."+group)
			switch {
			case err != nil:
				return err
			case lag.Dead > 0:
				return fmt.Errorf("%s: %d dead letters", app, lag.Dead)
			}
			if lag.Unsettled() == 0 {
				break
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return fmt.Errorf("%s: %d events are not settled: %w", app, lag.Unsettled(), ctx.Err())
			}
		}
	}
	return nil
}
