package sse

import "sync"

// Limit counts the streams that last, in all and for each owner. Its methods may be
// called concurrently.
type Limit[K comparable] struct {
	most, each int

	mu  sync.Mutex
	all int
	by  map[K]int
}

// Room says whether a stream may begin.
type Room int

// What there is room for.
const (
	Free  Room = iota
	Own        // the owner has too many
	Total      // there are too many
)

// NewLimit returns a limit: so many streams at most, and of each owner.
func NewLimit[K comparable](most, each int) *Limit[K] {
	return &Limit[K]{most: most, each: each, by: make(map[K]int)}
}

// Enter counts a stream in, unless there are too many. Leave counts it out.
func (l *Limit[K]) Enter(owner K) Room {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.by[owner] >= l.each:
		return Own
	case l.all >= l.most:
		return Total
	}
	l.all++
	l.by[owner]++
	return Free
}

// Leave counts a stream out that Enter let in.
func (l *Limit[K]) Leave(owner K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all--
	if l.by[owner]--; l.by[owner] == 0 {
		delete(l.by, owner)
	}
}
