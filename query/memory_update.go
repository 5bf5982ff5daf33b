package query

import (
	"context"
	"errors"
)

// update is a transaction of a [Memory]: what it reads and writes, beside the model.
type update struct {
	m      *Memory
	g      *generation
	step   Step
	over   bool            // m.mu guards it, and what follows
	tables map[int]touched // that were read or written
}

// touched is what a transaction has to do with a table.
type touched interface {
	valid(rows any) bool // what was read is unchanged
	write(rows any)
}

type updateKey struct{ m *Memory }

// updateOf returns the transaction of a context, or nil.
func (m *Memory) updateOf(ctx context.Context) *update {
	u, _ := ctx.Value(updateKey{m}).(*update)
	return u
}

var (
	errConflict = errors.New("query: what the handler has read was changed by another")
	errMoved    = errors.New("query: the generation was replaced meanwhile")
	errEnded    = errors.New("query: the transaction has ended")
)

// Context implements [Update].
func (u *update) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, updateKey{u.m}, u)
}

// Commit implements [Update].
func (u *update) Commit(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	if u.over {
		return errEnded
	}
	u.over = true
	switch g, err := u.m.of(u.step); {
	case err != nil:
		return err
	case g != u.g:
		return errMoved
	case u.g.applied(u.step):
		return ErrApplied
	case !u.valid():
		return errConflict
	}
	for n, t := range u.tables {
		t.write(u.g.rows[n])
	}
	u.g.ids.apply(u.step)
	if s := u.step; s.At.Valid() {
		u.g.place(s.Topic, s.At.Lane).live(s.At.Offset, s.Gap)
	}
	return nil
}

// valid reports whether all that was read is unchanged. mu is held.
func (u *update) valid() bool {
	for n, t := range u.tables {
		if !t.valid(u.g.rows[n]) {
			return false
		}
	}
	return true
}

// Rollback implements [Update].
func (u *update) Rollback(context.Context) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	u.over = true
}

// Interrupted implements [Update]: also a handler's own error, when what it has read may never
// have been.
func (u *update) Interrupted(err error) bool {
	if errors.Is(err, errConflict) || errors.Is(err, errMoved) {
		return true
	}
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	return !u.over && !u.valid()
}
