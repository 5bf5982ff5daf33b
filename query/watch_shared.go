package query

import (
	"context"
	"crypto/sha256"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
)

// watches are those of a Bus for queries of one type and answers of one.
type watches[R, Q any] struct {
	c *changes
	f *news

	mu   sync.Mutex // never held across a call
	keys map[key]*shared[R, Q]
}

type watchesKey[R, Q any] struct{}

// watchesOf returns the watches of a Bus.
func watchesOf[R, Q any](b *bus.Bus) (*watches[R, Q], error) {
	style := b.Style()
	if ws, ok := style.Kept(watchesKey[R, Q]{}).(*watches[R, Q]); ok {
		return ws, nil
	}
	c := changesOf(b)
	f, err := c.news(reflect.TypeFor[Q]())
	if err != nil {
		return nil, err
	}
	ws := &watches[R, Q]{c: c, f: f, keys: make(map[key]*shared[R, Q])}
	if kept := style.Keep(watchesKey[R, Q]{}, ws).(*watches[R, Q]); kept != ws {
		return kept, nil
	}
	f.observe(ws.changed)
	return ws, nil
}

// changed lets be asked again what has changed; nil: all.
func (ws *watches[R, Q]) changed(keys []key) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if keys == nil {
		for _, s := range ws.keys {
			s.changed()
		}
		return
	}
	for _, k := range keys {
		if s := ws.keys[k]; s != nil {
			s.changed()
		}
	}
}

// shared is what the watchers of a query share. Its fields are guarded by the mutex of watches.
type shared[R, Q any] struct {
	ws  *watches[R, Q]
	k   key
	q   Q
	ctx context.Context // ends when nobody watches
	end context.CancelFunc

	watchers map[*watcher[R, Q]]struct{}
	asked    int       // how often
	began    time.Time // the last of these
	asking   bool      // the last of these
	stale    int       // what was asked up to here may be before a change
	last     *state[R]
	failed   int         // times in a row
	retry    *time.Timer // nil: never
}

// state is what somebody learned by asking. It isn't changed.
type state[R any] struct {
	n      int // the number of the asking
	answer R
	err    error
	media  string // the content type of data
	data   []byte
	sum    key // of data
}

// askTimeout is how long an asking may take.
const askTimeout = 30 * time.Second

// Times between askings that fail.
const (
	retryFirst = time.Second
	retryMax   = 30 * time.Second
)

// join adds a watcher. What was asked before is for it only if no change is missed.
func (ws *watches[R, Q]) join(ctx context.Context, k key, q Q, how watching) *watcher[R, Q] {
	w := &watcher[R, Q]{how: how, news: make(chan struct{}, 1)}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	s := ws.keys[k]
	if s == nil {
		s = &shared[R, Q]{ws: ws, k: k, q: q, watchers: make(map[*watcher[R, Q]]struct{})}
		s.ctx, s.end = context.WithCancel(apart(ctx)) //nolint:gosec // leave calls it
		ws.keys[k] = s
	}
	s.watchers[w] = struct{}{}
	w.s = s
	if !ws.f.live.Load() || s.last != nil && s.last.err != nil {
		s.stale = s.asked
	}
	w.since = s.stale
	if s.asked == 0 || s.asked == s.stale {
		s.ask()
	}
	return w
}

// leave ends a watch. The last one ends the asking.
func (w *watcher[R, Q]) leave() {
	s := w.s
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	delete(s.watchers, w)
	if len(s.watchers) > 0 {
		return
	}
	s.end()
	if s.retry != nil {
		s.retry.Stop()
	}
	delete(s.ws.keys, s.k)
}

// next returns a state that the watcher hasn't seen, or nil.
func (w *watcher[R, Q]) next() *state[R] {
	s := w.s
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	if s.last == nil || s.last.n <= max(w.since, w.seen) {
		return nil
	}
	w.seen = s.last.n
	return s.last
}

// due returns how long until it is asked again for somebody who wants that every d.
func (s *shared[R, Q]) due(d time.Duration) time.Duration {
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	return d - time.Since(s.began)
}

// refresh asks again if that is due, and returns how long until it is again.
func (s *shared[R, Q]) refresh(d time.Duration) time.Duration {
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	if since := time.Since(s.began); since < d {
		return d - since
	}
	s.ask()
	return d
}

// askAgain asks again after a failure.
func (s *shared[R, Q]) askAgain() {
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	s.ask()
}

// changed lets it be asked again: what is being asked doesn't count. mu is held.
func (s *shared[R, Q]) changed() {
	s.stale = s.asked
	s.ask()
}

// ask asks, unless somebody does. mu is held.
func (s *shared[R, Q]) ask() {
	if s.asking || len(s.watchers) == 0 {
		return
	}
	if s.retry != nil {
		s.retry.Stop()
	}
	s.asking = true
	s.asked++
	s.began = time.Now()
	go s.fetch(s.asked)
}

// fetch asks, and tells the watchers: also when a handler ends the goroutine.
func (s *shared[R, Q]) fetch(n int) {
	ctx, cancel := context.WithTimeout(s.ctx, askTimeout)
	defer cancel()
	st := &state[R]{n: n, err: errNoEnd}
	defer s.learned(st)
	s.learn(ctx, st)
}

// learned tells the watchers, and lets it be asked again if it has to be.
func (s *shared[R, Q]) learned(st *state[R]) {
	s.ws.mu.Lock()
	defer s.ws.mu.Unlock()
	s.asking = false
	s.last = st
	if st.err == nil {
		s.failed = 0
	} else {
		s.failed++
	}
	switch {
	case s.asked == s.stale:
		s.ask()
	case st.err != nil && len(s.watchers) > 0:
		s.retry = time.AfterFunc(retryPause(s.failed), s.askAgain)
	}
	for w := range s.watchers {
		select {
		case w.news <- struct{}{}:
		default: // it will look
		}
	}
}

// retryPause is how long to wait after so many failures.
func retryPause(failed int) time.Duration {
	return min(retryFirst<<min(failed-1, 10), retryMax)
}

// learn asks. A panic is an error.
func (s *shared[R, Q]) learn(ctx context.Context, st *state[R]) {
	defer func() {
		if v := recover(); v != nil {
			st.err = &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
	}()
	st.answer, st.err = Ask[R](ctx, s.ws.c.b, s.q)
	if st.err == nil {
		st.media, st.data, st.err = s.ws.c.style.Encode(st.answer)
		st.sum = sha256.Sum256(st.data)
	}
	if st.err != nil {
		var none R
		st.answer = none
	}
}
