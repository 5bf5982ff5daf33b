package bus

import (
	"maps"
	"sync"
	"sync/atomic"
)

// registry is a map that is read by every publish and seldom grows: readers take no
// lock, a writer copies. The zero registry is ready for use.
type registry[K comparable, V any] struct {
	mu sync.Mutex // of writers
	m  atomic.Pointer[map[K]V]
}

func (r *registry[K, V]) get(k K) (V, bool) {
	m := r.m.Load()
	if m == nil {
		var none V
		return none, false
	}
	v, ok := (*m)[k]
	return v, ok
}

// getOrPut returns what is kept under k; that is v if nothing was.
func (r *registry[K, V]) getOrPut(k K, v V) V {
	r.mu.Lock()
	defer r.mu.Unlock()
	var m map[K]V
	if old := r.m.Load(); old != nil {
		if kept, ok := (*old)[k]; ok {
			return kept
		}
		m = maps.Clone(*old)
	} else {
		m = make(map[K]V)
	}
	m[k] = v
	r.m.Store(&m)
	return v
}
