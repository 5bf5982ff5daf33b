package request

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/event"
)

// waiter waits for the answers to one request.
type waiter struct {
	in    *inbox       // that they come to
	from  Repliers     // who can answer
	id    string       // of the request
	tick  int64        // of the guard, when it began to wait
	first chan outcome // has room for one: who waits for no other
	timer *time.Timer  // of first: it ends the waiting
	all   *answers     // who waits for all

	looked bool // the guard has looked
	gone   bool // and nobody was there
}

// outcome is an answer, or why there is none.
type outcome struct {
	answer event.Event
	err    error
}

// maxFree is how many waiters are kept to be used again.
const maxFree = 1024

// newWaiter returns a waiter for one answer. mu is held.
func (r *Requests) newWaiter(in *inbox, from Repliers) *waiter {
	if n := len(r.free); n > 0 {
		w := r.free[n-1]
		r.free = r.free[:n-1]
		w.in, w.from, w.looked, w.gone = in, from, false, false
		return w
	}
	w := &waiter{in: in, from: from, first: make(chan outcome, 1)}
	w.timer = time.AfterFunc(time.Hour, func() { r.timeUp(w) })
	w.timer.Stop()
	return w
}

// timeUp ends the waiting of one that still waits.
func (r *Requests) timeUp(w *waiter) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[w.id] == w {
		delete(r.waiting, w.id)
		w.tell(outcome{err: errors.Join(ErrNoAnswer, context.DeadlineExceeded)})
	}
}

// tell gives a waiter what it waits for, and reports whether it did. The lock of the
// Requests is held, so that none is told that was taken back.
func (w *waiter) tell(o outcome) bool {
	switch {
	case w.all != nil && o.err != nil:
		w.all.end(o.err)
		return true
	case w.all != nil:
		return w.all.add(o.answer)
	}
	w.first <- o // it has room for one, and is told once
	return true
}

// awaitFirst returns a waiter for the first answer to a request.
func (r *Requests) awaitFirst(in *inbox, from Repliers, id string) (*waiter, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.newWaiter(in, from)
	if err := r.awaiting(w, id); err != nil {
		return nil, err
	}
	return w, nil
}

// awaitAll lets w wait for answers to a request.
func (r *Requests) awaitAll(w *waiter, id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.awaiting(w, id)
}

// awaiting lets w wait for what comes to a request. mu is held.
func (r *Requests) awaiting(w *waiter, id string) error {
	switch {
	case w.in.lost:
		return errLost
	case r.waiting[id] != nil:
		return errors.New("request: an answer to this id is waited for already")
	}
	w.id = id
	r.waiting[id] = w
	r.guarded(w)
	return nil
}

// stopWaiting ends the waiting, and takes back a waiter for one answer, which nobody can tell
// anything any more.
func (r *Requests) stopWaiting(w *waiter) {
	ours := w.timer != nil && w.timer.Stop() // else its function may still come
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting[w.id] == w {
		delete(r.waiting, w.id)
	}
	select {
	case <-w.first:
	default:
	}
	if ours && len(r.free) < maxFree {
		r.free = append(r.free, w)
	}
}

// pass hands an answer to who waits for it.
func (r *Requests) pass(answer event.Event) {
	id := answer.Extension(event.ExtCausationID)
	r.mu.Lock()
	defer r.mu.Unlock()
	w := r.waiting[id]
	if w == nil || !w.tell(outcome{answer: answer}) {
		r.dropped.Add(1)
		return
	}
	if w.all == nil {
		delete(r.waiting, id)
	}
}

// Dropped returns how many answers came that nobody waited for any more: late ones, and
// those that came again.
func (r *Requests) Dropped() int64 { return r.dropped.Load() }

// lose forgets an inbox that nothing comes to any more, and ends the waiting there.
func (r *Requests) lose(in *inbox) {
	r.forget(in)
	r.mu.Lock()
	defer r.mu.Unlock()
	in.lost = true
	for id, w := range r.waiting {
		if w.in == in {
			delete(r.waiting, id)
			w.tell(outcome{err: errLost})
		}
	}
}

var errLost = errors.New("request: the channel has ended the subscription to answers: ask again")

// endAll ends all waiting.
func (r *Requests) endAll(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.waiting {
		w.tell(outcome{err: err})
	}
	clear(r.waiting)
}
