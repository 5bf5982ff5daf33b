package request

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"

	"github.com/leat-go/leat/event"
)

// maxRepliers is how many are heard who answer one request.
const maxRepliers = 10_000

// Gather sends a request with send, and returns the answers of all who answer, one of each
// application, until the call ends; or until all groups have answered that are known to (0: none are), and have
// a member.
func (c *Call) Gather(request event.Event, from Repliers, known int, send func(context.Context) error) iter.Seq2[event.Event, error] {
	return func(yield func(event.Event, error) bool) {
		all := &answers{known: known, seen: make(map[string]bool), news: make(chan struct{}, 1)}
		w := &waiter{in: c.in, from: from, all: all}
		if err := c.r.awaitAll(w, request.ID()); err != nil {
			yield(event.Event{}, err)
			return
		}
		defer c.r.stopWaiting(w)
		if err := send(&c.within); err != nil {
			yield(event.Event{}, err)
			return
		}
		for {
			come, over, err := all.take()
			for _, a := range come {
				if !yield(a, nil) {
					return
				}
			}
			if err == nil && !over && len(come) == 0 {
				over, err = c.news(all)
			}
			if err != nil {
				yield(event.Event{}, err)
			}
			if over || err != nil {
				return
			}
		}
	}
}

// news waits for more answers, and reports whether the time for them is over.
func (c *Call) news(all *answers) (over bool, err error) {
	select {
	case <-all.news:
		return false, nil
	case <-c.within.Done():
	}
	cause := context.Cause(&c.within)
	switch {
	case !errors.Is(cause, context.DeadlineExceeded):
		return true, cause
	case all.some():
		return true, nil
	}
	return true, errors.Join(ErrNoAnswer, cause)
}

// answers are those to one request, of many who answer.
type answers struct {
	news chan struct{} // there are some, or no more will come

	mu    sync.Mutex
	come  []event.Event
	seen  map[string]bool // who has answered
	known int             // how many answer; 0: that isn't known
	err   error
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

// take returns what has come, whether that is all, and why no more will come.
func (a *answers) take() (come []event.Event, over bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	come, a.come = a.come, nil
	return come, a.known > 0 && len(a.seen) >= a.known, a.err
}

func (a *answers) some() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.seen) > 0
}

// expect says how many are there that answer.
func (a *answers) expect(n int) {
	a.mu.Lock()
	a.known = n
	if n == 0 && len(a.seen) > 0 {
		a.known = len(a.seen)
	} else if n == 0 {
		a.err = fmt.Errorf("%w: no group for it has a member", ErrNoHandler)
	}
	a.mu.Unlock()
	a.wake()
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
