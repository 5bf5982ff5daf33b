package query

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
)

// queries are those of a Bus.
type queries struct {
	b        *bus.Bus
	style    bus.Style
	requests *request.Requests

	expired atomic.Int64

	mu     sync.Mutex
	topics map[string]string // of those handled here: their types
}

type queriesKey struct{}

func of(b *bus.Bus) *queries {
	s := b.Style()
	if q, ok := s.Kept(queriesKey{}).(*queries); ok {
		return q
	}
	q := &queries{b: b, style: s, requests: request.Of(b), topics: make(map[string]string)}
	return s.Keep(queriesKey{}, q).(*queries) //nolint:forcetypeassert // the key is ours
}

// own takes a type and its topic for a handler, once.
func (qs *queries) own(typ, topic string) error {
	qs.mu.Lock()
	defer qs.mu.Unlock()
	for of, t := range qs.topics {
		switch {
		case of == typ:
			return fmt.Errorf("query: two handlers for %q: a query has exactly one", typ)
		case t == topic:
			return fmt.Errorf("query: %q and %q have the same topic %q: each needs one of its own", of, typ, topic)
		}
	}
	qs.topics[typ] = topic
	return nil
}

// Stats counts what nobody needed, since the Bus was made.
type Stats struct {
	Expired int64 // queries that came when nobody waited any more: they were not handled
	Dropped int64 // replies that nobody waited for: late ones, and those that came again
}

// StatsOf returns what was counted on a Bus.
func StatsOf(b *bus.Bus) Stats {
	q := of(b)
	return Stats{Expired: q.expired.Load(), Dropped: q.requests.Dropped()}
}
