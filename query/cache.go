package query

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
)

// CacheConfig says what a [Cache] keeps, and for how long.
type CacheConfig struct {
	TTL   time.Duration // since it was asked; 0: a minute
	Max   int           // answers at most, the one unused for longest goes; 0: 10,000
	Stats *CacheStats   // nil: nobody counts; caches that share one are counted together
}

const (
	defaultTTL = time.Minute
	defaultMax = 10_000
)

// CacheStats counts what a [Cache] does. It is read at any time.
type CacheStats struct {
	Hits          atomic.Int64 // answers that were there
	Misses        atomic.Int64 // those that had to be asked for, and those who waited for them
	Evictions     atomic.Int64 // answers that had to make room
	Invalidations atomic.Int64 // answers, kept or under way, that a change has made old
}

// Cache returns a middleware that keeps answers, around a handler ([Handle]) or around
// [Asker]. An answer is one for a query, by its encoding, and a tenant: it may depend on
// nothing else that the context has. It is shared by all who get it, and not copied: nobody
// changes it.
//
// Who comes while an answer is being made waits for it. It is made under the values
// of the context of the first, not under its end: each waits until its own context ends, and when
// nobody waits any more, the making is cancelled. It has no deadline of its own; [Asker] asks for
// up to 30 seconds. A panic is a [bus.PanicError] to all. Errors aren't kept.
//
// [Changed] and [ChangedBy] make an answer old. One that is being made then is for those who
// wait already, and isn't kept; who comes later has it made anew. While the Bus
// doesn't hear of changes, from the first query until the subscription is open for a start,
// nothing is kept. No answer is older than the TTL. A change that this process hasn't heard of yet
// doesn't count.
//
// There is a goroutine for each answer that is being made, and the one of the Bus for each type
// of query that is watched or cached. A hit allocates what encoding the query does.
func Cache[Q, R any](b *bus.Bus, cfg CacheConfig) Middleware[Q, R] {
	c := &cache[Q, R]{
		c: changesOf(b), ttl: cfg.TTL, most: cfg.Max, stats: cfg.Stats,
		kept: make(map[key]*list.Element), making: make(map[key]*making[R]),
	}
	if c.ttl <= 0 {
		c.ttl = defaultTTL
	}
	if c.most <= 0 {
		c.most = defaultMax
	}
	if c.stats == nil {
		c.stats = new(CacheStats)
	}
	var err error
	if c.f, err = c.c.news(reflect.TypeFor[Q]()); err != nil {
		c.c.style.Mistake(fmt.Errorf("query: Cache: %w", err))
		return func(next Func[Q, R]) Func[Q, R] { return next }
	}
	c.f.observe(c.changed)
	return c.wrap
}

// cache keeps answers.
type cache[Q, R any] struct {
	c     *changes
	f     *news
	ttl   time.Duration
	most  int
	stats *CacheStats

	mu     sync.Mutex // never held across a call
	kept   map[key]*list.Element
	used   list.List // of *answer[R], the last used first
	making map[key]*making[R]
}

// answer is one that is kept.
type answer[R any] struct {
	k     key
	value R
	until time.Time
}

// making is an answer that is being made.
type making[R any] struct {
	done  chan struct{} // closed when value and err are there
	value R
	err   error
	end   context.CancelFunc

	began time.Time
	keep  bool // changes were heard of when it began
	waits int  // how many do, guarded by the mutex of the cache
}

func (c *cache[Q, R]) wrap(next Func[Q, R]) Func[Q, R] {
	return func(ctx context.Context, q Q) (R, error) {
		var none R
		k, err := c.c.key(tenantOf(ctx), q)
		if err != nil {
			return none, err
		}
		if err := c.f.use(ctx); err != nil {
			return next(ctx, q)
		}
		value, m, first := c.find(ctx, k)
		if m == nil {
			c.stats.Hits.Add(1)
			return value, nil
		}
		c.stats.Misses.Add(1)
		if first != nil {
			go c.make(first, k, m, next, q)
		}
		select {
		case <-m.done:
			return m.value, m.err
		case <-ctx.Done():
			c.leave(k, m)
			return none, context.Cause(ctx)
		}
	}
}

// find returns an answer that is kept, or one that is being made, with the context to
// make it under if the caller has to let it be made.
func (c *cache[Q, R]) find(ctx context.Context, k key) (value R, m *making[R], first context.Context) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.kept[k]; e != nil {
		a := e.Value.(*answer[R])
		if now.Before(a.until) && c.f.live.Load() {
			c.used.MoveToFront(e)
			return a.value, nil, nil
		}
		c.drop(e)
	}
	if m = c.making[k]; m == nil {
		m = &making[R]{done: make(chan struct{}), err: errNoEnd, began: now, keep: c.f.live.Load()}
		first, m.end = context.WithCancel(apart(ctx)) //nolint:gosec // make calls it
		c.making[k] = m
	}
	m.waits++
	return value, m, first
}

var errNoEnd = errors.New("query: a handler has ended its goroutine")

// make makes an answer.
func (c *cache[Q, R]) make(ctx context.Context, k key, m *making[R], next Func[Q, R], q Q) {
	defer m.end()
	defer close(m.done)
	defer func() {
		if v := recover(); v != nil {
			m.err = &bus.PanicError{Value: v, Stack: debug.Stack()}
		}
		c.made(k, m)
	}()
	m.value, m.err = next(ctx, q)
}

// made keeps what was made, unless it is old by now.
func (c *cache[Q, R]) made(k key, m *making[R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.making[k] != m {
		return
	}
	delete(c.making, k)
	if m.err != nil || !m.keep {
		return
	}
	c.kept[k] = c.used.PushFront(&answer[R]{k, m.value, m.began.Add(c.ttl)})
	if c.used.Len() > c.most {
		c.drop(c.used.Back())
		c.stats.Evictions.Add(1)
	}
}

// leave ends a wait. The last one ends the making.
func (c *cache[Q, R]) leave(k key, m *making[R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	m.waits--
	if m.waits > 0 {
		return
	}
	m.end()
	if c.making[k] == m { // who comes now doesn't wait for what is cancelled
		delete(c.making, k)
	}
}

// drop lets an answer go. mu is held.
func (c *cache[Q, R]) drop(e *list.Element) {
	c.used.Remove(e)
	delete(c.kept, e.Value.(*answer[R]).k)
}

// changed lets go what is old; nil: all.
func (c *cache[Q, R]) changed(keys []key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if keys == nil {
		c.stats.Invalidations.Add(int64(len(c.kept) + len(c.making)))
		clear(c.kept)
		clear(c.making)
		c.used.Init()
		return
	}
	for _, k := range keys {
		if e := c.kept[k]; e != nil {
			c.drop(e)
			c.stats.Invalidations.Add(1)
		}
		if c.making[k] != nil {
			delete(c.making, k)
			c.stats.Invalidations.Add(1)
		}
	}
}
