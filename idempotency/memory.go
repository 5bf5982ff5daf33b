package idempotency

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"
)

// Memory is a [Store] within the process: for tests, and for what is to be done once
// in one process and may be done again after its end.
type Memory struct {
	window   time.Duration
	capacity int // of a shard
	seed     maphash.Seed
	start    time.Time
	shards   [shards]shard
}

var _ Store = (*Memory)(nil)

// MemoryConfig says how much is kept. The zero value is usable.
type MemoryConfig struct {
	Window   time.Duration // how long a record is kept; 0: 24 h
	Capacity int           // keys that are kept at a time, about; 0: a million
}

const (
	shards          = 64
	defaultWindow   = 24 * time.Hour
	defaultCapacity = 1_000_000
)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	if cfg.Capacity <= 0 {
		cfg.Capacity = defaultCapacity
	}
	m := &Memory{window: cfg.Window, capacity: (cfg.Capacity + shards - 1) / shards, seed: maphash.MakeSeed(), start: time.Now()}
	for i := range m.shards {
		m.shards[i].entries = make(map[Key]*entry)
	}
	return m
}

// shard is the keys of one hash.
type shard struct {
	mu      sync.Mutex
	entries map[Key]*entry
	wheel   wheel
}

// entry is a key that is known. There are a million of them: times are what has passed
// since the store was made.
type entry struct {
	key         Key
	state       State // Claimed, Completed or Failed
	free        bool  // released: to be claimed
	fence       uint64
	attempts    int
	until       time.Duration // end of the lease
	expires     time.Duration
	noted       int64 // the bucket of the wheel where it stands last
	fingerprint string
	record      *Record // nil: the zero one
}

func (m *Memory) shard(k Key) *shard {
	return &m.shards[maphash.Comparable(m.seed, k)%shards]
}

// Window implements [Store].
func (m *Memory) Window() time.Duration { return m.window }

var errLease = errors.New("idempotency: a claim needs a lease above 0")

// Claim implements [Store].
func (m *Memory) Claim(ctx context.Context, key Key, c Claim) (Grant, error) {
	if err := ctx.Err(); err != nil {
		return Grant{}, err
	}
	if c.Lease <= 0 {
		return Grant{}, errLease
	}
	now := time.Since(m.start)
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expire(now, m.window)
	e := s.entries[key]
	if e == nil {
		if len(s.entries) >= m.capacity {
			return Grant{}, ErrFull
		}
		e = &entry{key: key, free: true, fingerprint: c.Fingerprint}
		s.entries[key] = e
	}
	switch {
	case c.Fingerprint != "" && e.fingerprint != "" && c.Fingerprint != e.fingerprint:
		return Grant{State: Mismatch}, nil
	case e.state == Completed:
		g := Grant{State: Completed}
		if e.record != nil {
			g.Record = *e.record
		}
		return g, nil
	case e.state == Failed && !c.Retake:
		return Grant{State: Failed}, nil
	case e.state == Claimed && !e.free && e.until > now:
		return Grant{State: Busy, Left: e.until - now}, nil
	}
	e.state, e.free = Claimed, false
	e.fence++
	e.attempts++
	e.until = now + c.Lease
	m.keep(s, e, e.until)
	return Grant{State: Claimed, Fence: e.fence, Attempts: e.attempts}, nil
}

// keep lets an entry live for a window after a time. The shard is locked.
func (m *Memory) keep(s *shard, e *entry, from time.Duration) {
	e.expires = from + m.window
	if n := bucketOf(e.expires, m.window); n != e.noted {
		e.noted = n
		s.wheel.add(e, n)
	}
}

// expire forgets what was kept for long enough. The shard is locked.
func (s *shard) expire(now, window time.Duration) {
	for {
		old, ok := s.wheel.next(bucketOf(now, window))
		if !ok {
			return
		}
		for _, e := range old {
			if e.expires <= now && s.entries[e.key] == e {
				delete(s.entries, e.key)
			}
		}
	}
}

// claimed returns the entry of a claim, or nil. The shard is locked.
func (s *shard) claimed(key Key, fence uint64) *entry {
	e := s.entries[key]
	if e == nil || e.state != Claimed || e.free || e.fence != fence {
		return nil
	}
	return e
}

// change changes what a claim is, if it is still that.
func (m *Memory) change(ctx context.Context, key Key, fence uint64, f func(e *entry, now time.Duration)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Since(m.start)
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.claimed(key, fence)
	if e == nil {
		return ErrFenced
	}
	f(e, now)
	m.keep(s, e, now)
	return nil
}

// Extend implements [Store]. A claim whose lease has ended is extended too, as long as
// nobody else has the key.
func (m *Memory) Extend(ctx context.Context, key Key, fence uint64, lease time.Duration) error {
	return m.change(ctx, key, fence, func(e *entry, now time.Duration) { e.until = now + lease })
}

// Complete implements [Store].
func (m *Memory) Complete(ctx context.Context, key Key, fence uint64, r Record) error {
	var kept *Record // most leave nothing
	if r.Result != nil || r.Rejected != nil || len(r.Sent) > 0 {
		kept = &Record{r.Result, r.Rejected, r.Sent}
	}
	return m.change(ctx, key, fence, func(e *entry, _ time.Duration) { e.state, e.record = Completed, kept })
}

// Fail implements [Store].
func (m *Memory) Fail(ctx context.Context, key Key, fence uint64) error {
	return m.change(ctx, key, fence, func(e *entry, _ time.Duration) { e.state = Failed })
}

// Release implements [Store].
func (m *Memory) Release(ctx context.Context, key Key, fence uint64) error {
	return m.change(ctx, key, fence, func(e *entry, _ time.Duration) { e.free = true })
}

// Len returns how many keys are kept.
func (m *Memory) Len() int {
	n := 0
	for i := range m.shards {
		s := &m.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}
