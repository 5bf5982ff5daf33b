package payload

import (
	"bytes"
	"container/heap"
	"context"
	"sync"
	"time"
)

// MemoryConfig bounds a [Memory]. The zero value is usable.
type MemoryConfig struct {
	MaxBytes int // of all payloads; 0: 256 MiB
}

const defaultMaxBytes = 256 << 20

// Memory is a [Store] in the process, for tests and for programs of one process.
type Memory struct {
	max int

	mu    sync.Mutex
	all   map[string]*kept
	ends  ends
	bytes int
}

type kept struct {
	name string
	data []byte
	end  time.Time
	at   int // in ends
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = defaultMaxBytes
	}
	return &Memory{max: cfg.MaxBytes, all: make(map[string]*kept)}
}

// Put implements [Store]. It returns [ErrFull] where there is no room: nothing is dropped
// before its time.
func (m *Memory) Put(ctx context.Context, name string, data []byte, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	old := 0
	k := m.all[name]
	if k != nil {
		old = len(k.data)
	}
	if m.bytes-old+len(data) > m.max {
		return ErrFull
	}
	if k != nil {
		m.remove(k)
	}
	k = &kept{name: name, data: bytes.Clone(data), end: now.Add(keep)}
	m.all[name] = k
	m.bytes += len(data)
	heap.Push(&m.ends, k)
	return nil
}

// Get implements [Store].
func (m *Memory) Get(ctx context.Context, name string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	k := m.all[name]
	if k == nil {
		return nil, ErrGone
	}
	return bytes.Clone(k.data), nil
}

// Expire implements [Store].
func (m *Memory) Expire(ctx context.Context, name string, keep time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(now)
	if k := m.all[name]; k != nil {
		k.end = now.Add(keep)
		heap.Fix(&m.ends, k.at)
	}
	return nil
}

// Delete implements [Store].
func (m *Memory) Delete(ctx context.Context, name string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.all[name]; k != nil {
		m.remove(k)
	}
	return nil
}

// Len returns how many payloads there are, and of how many bytes.
func (m *Memory) Len() (payloads, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	return len(m.all), m.bytes
}

// expire removes what has been kept long enough. mu is held.
func (m *Memory) expire(now time.Time) {
	for len(m.ends) > 0 && !m.ends[0].end.After(now) {
		m.remove(m.ends[0])
	}
}

// remove removes a payload. mu is held.
func (m *Memory) remove(k *kept) {
	delete(m.all, k.name)
	m.bytes -= len(k.data)
	heap.Remove(&m.ends, k.at)
}

// ends are payloads by their ends, the first in front.
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
	*e = old[:len(old)-1]
	return k
}
