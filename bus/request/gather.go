package request

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/leat-go/leat/event"
)

// maxRepliers is how many are heard who answer one request.
const maxRepliers = 10_000

// Gather sends a request with send, and returns the answers of all who answer, one of each
// application, until the call ends; or until all have answered that were there when it began,
// where the channel knows them.
func (c *Call) Gather(request event.Event, from Repliers, send func(context.Context) error) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		all := &answers{seen: make(map[string]bool), news: make(chan struct{}, 1)}
		w := &waiter{in: c.in, from: from, all: all}
		if err := c.begin(request, w, send); err != nil {
			yield(event.Event{}, err)
			return
		}
		defer c.r.stopWaiting(w)
		for n := 0; from.Known == 0 || n < from.Known; {
			come, err := all.take()
			for _, a := range come {
				n++
				if !yield(a, nil) {
					return
				}
			}
			if len(come) > 0 {
				continue
			}
			if err == nil {
				err = c.news(all, n)
			}
			if errors.Is(err, errEnough) {
				return
			}
			if err != nil {
				yield(event.Event{}, err)
				return
			}
		}
	}
}

// errEnough ends a gathering that has some answers.
var errEnough = errors.New("request: time is up")

// news waits for more answers; n have come.
func (c *Call) news(all *answers, n int) error {
	select {
	case <-all.news:
		return nil
	case <-c.within.Done():
	}
	cause := context.Cause(&c.within)
	switch {
	case !errors.Is(cause, context.DeadlineExceeded):
		return cause
	case n > 0:
		return errEnough
	}
	return errors.Join(ErrNoAnswer, cause)
}

// answers are those to one request, of many who answer.
type answers struct {
	news chan struct{} // there are some, or no more will come

	mu   sync.Mutex
	come []event.Event
	seen map[string]bool // who has answered
	err  error
}

// add keeps an answer, the first of each replier.
func (a *answers) add(answer event.Event) bool {
	a.mu.Lock()
	first := !a.seen[answer.Source()] && len(a.seen) < maxRepliers
	if first {
		a.seen[answer.Source()] = true
		a.come = append(a.come, answer)
	}
	a.mu.Unlock()
	a.wake()
	return first
}

// take returns what has come, and why no more will.
func (a *answers) take() ([]event.Event, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	come := a.come
	a.come = nil
	return come, a.err
}

func (a *answers) end(err error) {
	a.mu.Lock()
	a.err = err
	a.mu.Unlock()
	a.wake()
}

func (a *answers) wake() {
	select {
	case a.news <- struct{}{}:
	default:
	}
}
