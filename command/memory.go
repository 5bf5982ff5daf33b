package command

import (
	"container/heap"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// MemoryConfig bounds a [Memory]. The zero value is usable.
type MemoryConfig struct {
	Keep time.Duration // how long an operation is kept after its last change; 0: a day. Its id is known for as long again
	Max  int           // operations and ids at most; 0: 100,000
}

const (
	defaultKeep = 24 * time.Hour
	defaultMax  = 100_000
)

// Memory keeps operations in the memory of this process: for tests, and for services of one
// process. Where there is no room, it refuses new ones with [ErrFull]; nothing is
// dropped before its time. Its methods may be called concurrently.
type Memory struct {
	keep time.Duration
	max  int

	mu       sync.Mutex
	all      map[string]*kept
	ends     ends
	watchers map[string][]*watcher
}

type kept struct {
	o    Operation
	gone bool // only the id is known
	end  time.Time
	at   int // in ends
}

type watcher struct{ wake func() }

var _ Operations = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Keep <= 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.Max <= 0 {
		cfg.Max = defaultMax
	}
	return &Memory{keep: cfg.Keep, max: cfg.Max, all: make(map[string]*kept), watchers: make(map[string][]*watcher)}
}

// Create implements [Operations].
func (m *Memory) Create(ctx context.Context, o Operation) (Operation, error) {
	if err := ctx.Err(); err != nil {
		return Operation{}, err
	}
	o, watchers, err := m.create(o, time.Now())
	for _, w := range watchers {
		w.wake()
	}
	return o, err
}

func (m *Memory) create(o Operation, now time.Time) (Operation, []*watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	if k := m.all[o.ID]; k != nil {
		return k.o.clone(), nil, ErrExists
	}
	if len(m.all) >= m.max {
		return Operation{}, nil, ErrFull
	}
	o.Version, o.Created, o.Updated = 1, wall(now), wall(now)
	k := &kept{o: o.clone(), end: o.Kept(now, m.keep)}
	m.all[o.ID] = k
	heap.Push(&m.ends, k)
	return o, slices.Clone(m.watchers[o.ID]), nil
}

// wall returns a time as it is read by others: what counts in this process alone is left
// out.
func wall(t time.Time) time.Time { return t.UTC().Round(0) }

// Get implements [Operations].
func (m *Memory) Get(ctx context.Context, id string) (Operation, error) {
	if err := ctx.Err(); err != nil {
		return Operation{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	k, err := m.find(id)
	if err != nil {
		return Operation{}, err
	}
	return k.o.clone(), nil
}

// find returns an operation. mu is held.
func (m *Memory) find(id string) (*kept, error) {
	k := m.all[id]
	switch {
	case k == nil:
		return nil, ErrNoOperation
	case k.gone:
		return nil, ErrForgotten
	}
	return k, nil
}

// Swap implements [Operations].
func (m *Memory) Swap(ctx context.Context, o Operation) (Operation, error) {
	if err := ctx.Err(); err != nil {
		return Operation{}, err
	}
	o, watchers, err := m.swap(o, time.Now())
	for _, w := range watchers {
		w.wake()
	}
	return o, err
}

func (m *Memory) swap(o Operation, now time.Time) (Operation, []*watcher, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	k, err := m.find(o.ID)
	if err != nil {
		return Operation{}, nil, err
	}
	if k.o.Version != o.Version {
		return Operation{}, nil, ErrConflict
	}
	o.Version, o.Created, o.Updated = o.Version+1, k.o.Created, wall(now)
	k.o, k.end = o.clone(), o.Kept(now, m.keep)
	heap.Fix(&m.ends, k.at)
	return o, slices.Clone(m.watchers[o.ID]), nil
}

// Watch implements [Operations].
func (m *Memory) Watch(ctx context.Context, id string, wake func()) (func(), error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &watcher{wake}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.watchers[id] = append(m.watchers[id], w)
	return func() { m.unwatch(id, w) }, nil
}

func (m *Memory) unwatch(id string, w *watcher) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := slices.DeleteFunc(m.watchers[id], func(x *watcher) bool { return x == w })
	if len(rest) == 0 {
		delete(m.watchers, id)
		return
	}
	m.watchers[id] = rest
}

// expire forgets what has been kept long enough: first all but the id, then the id. mu is
// held.
func (m *Memory) expire(now time.Time) {
	for len(m.ends) > 0 && !m.ends[0].end.After(now) {
		k := m.ends[0]
		if k.gone {
			delete(m.all, k.o.ID)
			heap.Pop(&m.ends)
			continue
		}
		k.o, k.gone, k.end = Operation{ID: k.o.ID}, true, k.end.Add(m.keep)
		heap.Fix(&m.ends, k.at)
	}
}

// clone returns a copy that shares nothing that changes.
func (o *Operation) clone() Operation {
	c := *o
	if o.Progress != nil {
		p := *o.Progress
		c.Progress = &p
	}
	if o.Result != nil {
		c.Result = &event.Result{ContentType: o.Result.ContentType, Data: slices.Clone(o.Result.Data)}
	}
	if o.Problem != nil {
		p := *o.Problem
		p.Details = slices.Clone(p.Details)
		c.Problem = &p
	}
	return c
}

// ends are operations by their ends, the first in front.
type ends []*kept //nolint:recvcheck // as container/heap has it

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i].end.Before(e[j].end) }
func (e ends) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].at, e[j].at = i, j
}

func (e *ends) Push(x any) {
	k := x.(*kept) //nolint:forcetypeassert // nothing else is pushed
	k.at = len(*e)
	*e = append(*e, k)
}

func (e *ends) Pop() any {
	old := *e
	k := old[len(old)-1]
	old[len(old)-1] = nil // let it go
	*e = old[:len(old)-1]
	return k
}
