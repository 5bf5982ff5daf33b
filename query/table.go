package query

import (
	"context"
	"errors"
	"iter"
	"maps"
)

// Table is a table of a [Memory]. Its methods may be called concurrently.
//
// Under the context of a handler of the projection they act in its transaction, on its
// generation, and see its own writes. Anywhere else they read what is committed in the
// generation that serves. Values are shared, not copied: don't change what a pointer, a slice
// or a map in one leads to, put another value.
type Table[K comparable, V any] struct {
	m *Memory
	n int
}

// ErrNoUpdate says that a table was to be changed outside of a handler of its projection, or after
// the handler has returned.
var ErrNoUpdate = errors.New("query: a table is changed by handlers of its projection, under their context")

// NewTable returns a new table of a model. Make all tables before the Bus is started.
func NewTable[K comparable, V any](m *Memory) *Table[K, V] {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tables++
	return &Table[K, V]{m, m.tables}
}

// row is a value that was committed. Each commit makes new ones, so that they tell apart what is
// equal.
type row[V any] struct{ v V }

// rows are those of a table in a generation.
type rows[K comparable, V any] struct {
	of      map[K]*row[V]
	version int64 // grows with each commit that changes them
}

// edits are what a transaction has to do with a table.
type edits[K comparable, V any] struct {
	read    map[K]*row[V] // nil: there was none
	written map[K]*row[V] // nil: deleted
	whole   bool          // all were read
	version int64         // then
}

func (c *edits[K, V]) valid(in any) bool {
	rs := in.(*rows[K, V]) //nolint:forcetypeassert // of this table
	if c.whole && c.version != rs.version {
		return false
	}
	for k, r := range c.read {
		if rs.of[k] != r {
			return false
		}
	}
	return true
}

func (c *edits[K, V]) write(in any) {
	rs := in.(*rows[K, V]) //nolint:forcetypeassert // of this table
	if len(c.written) > 0 {
		rs.version++
	}
	for k, r := range c.written {
		if r == nil {
			delete(rs.of, k)
		} else {
			rs.of[k] = r
		}
	}
}

// rows returns those of a generation. mu is held.
func (t *Table[K, V]) rows(g *generation) *rows[K, V] {
	rs, _ := g.rows[t.n].(*rows[K, V])
	if rs == nil {
		rs = &rows[K, V]{of: make(map[K]*row[V])}
		g.rows[t.n] = rs
	}
	return rs
}

// changes returns those of the transaction of a context that hasn't ended, or nil, and the
// generation to be read. mu is held.
func (t *Table[K, V]) changes(ctx context.Context) (*edits[K, V], *rows[K, V]) {
	u := t.m.updateOf(ctx)
	if u == nil || u.over {
		return nil, t.rows(t.m.serving)
	}
	rs := t.rows(u.g)
	c, _ := u.tables[t.n].(*edits[K, V])
	if c == nil {
		c = &edits[K, V]{read: make(map[K]*row[V]), written: make(map[K]*row[V])}
		if u.tables == nil {
			u.tables = make(map[int]touched)
		}
		u.tables[t.n] = c
	}
	return c, rs
}

// get returns the row of a key, or nil, and remembers that it was read. mu is held.
func (c *edits[K, V]) get(rs *rows[K, V], key K) *row[V] {
	if r, written := c.written[key]; written {
		return r
	}
	r := rs.of[key]
	if before, again := c.read[key]; again {
		return before // as it was: the commit sees whether it still is
	}
	c.read[key] = r
	return r
}

// Get returns the value of a key, and whether there is one.
func (t *Table[K, V]) Get(ctx context.Context, key K) (V, bool) {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	c, rs := t.changes(ctx)
	r := rs.of[key]
	if c != nil {
		r = c.get(rs, key)
	}
	if r == nil {
		var none V
		return none, false
	}
	return r.v, true
}

// Put sets the value of a key. Outside of a transaction it returns [ErrNoUpdate].
func (t *Table[K, V]) Put(ctx context.Context, key K, v V) error {
	return t.set(ctx, key, &row[V]{v})
}

// Delete removes a key, if it is there. Outside of a transaction it returns [ErrNoUpdate].
func (t *Table[K, V]) Delete(ctx context.Context, key K) error { return t.set(ctx, key, nil) }

func (t *Table[K, V]) set(ctx context.Context, key K, r *row[V]) error {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	c, _ := t.changes(ctx)
	if c == nil {
		return ErrNoUpdate
	}
	c.written[key] = r
	return nil
}

// All returns all keys and values as they are when the iteration begins, in no order: a copy is made
// then. In a transaction that is what Get would return; and whoever changes the table
// meanwhile, whichever key, makes the handler run again.
func (t *Table[K, V]) All(ctx context.Context) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for k, r := range t.snapshot(ctx) {
			if !yield(k, r.v) {
				return
			}
		}
	}
}

func (t *Table[K, V]) snapshot(ctx context.Context) map[K]*row[V] {
	t.m.mu.Lock()
	defer t.m.mu.Unlock()
	c, rs := t.changes(ctx)
	all := maps.Clone(rs.of)
	if c == nil {
		return all
	}
	if !c.whole {
		c.whole, c.version = true, rs.version
	}
	for k, r := range c.written {
		if r == nil {
			delete(all, k)
		} else {
			all[k] = r
		}
	}
	return all
}
