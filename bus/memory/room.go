package memory

import (
	"context"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// blockedPublisher waits for room, outside of handlers, first come first served.
type blockedPublisher struct{ wake chan struct{} }

// worthWaking reports whether publishers that wait for room should go on: at three
// quarters of the bound, so that they don't go on one event at a time; at any room
// when little is left to deliver, so that they don't wait for what is held.
func (q *queue) worthWaking() bool {
	capacity := q.t.c.cfg.capacity
	unsettled := q.unsettled()
	return unsettled <= capacity*3/4 || unsettled < capacity && q.in.len() < max(capacity/4, 1)
}

// offer lets the first publisher in line look for room.
func (t *topic) offer() {
	t.mu.Lock()
	t.offerLocked()
	t.mu.Unlock()
}

func (t *topic) offerLocked() {
	if len(t.line) > 0 {
		signal(t.line[0].wake)
	}
}

// produceTight is produce when there may not be room for all. The topic is locked;
// it is unlocked on return.
func (t *topic) produceTight(ctx context.Context, b *batch) (int, error) {
	if inHandler(ctx) {
		return t.produceInside(ctx, b)
	}
	return t.produceWaiting(ctx, b)
}

// inHandler reports whether a publish under ctx must not wait.
func inHandler(ctx context.Context) bool { return event.Handling(ctx) || leaseOf(ctx) != nil }

func leaseOf(ctx context.Context) *lease {
	l, _ := ctx.Value(leaseKey{}).(*lease)
	return l
}

// produceWaiting accepts as many events as there is room for and waits for more
// room until all are accepted.
func (t *topic) produceWaiting(ctx context.Context, b *batch) (done int, err error) {
	var me *blockedPublisher
	for {
		if err = t.takes(b); err != nil {
			break
		}
		if len(t.line) == 0 || t.line[0] == me {
			queues := t.targets(b)
			if n := min(t.look(queues), len(b.events)-done); n > 0 {
				part := b.cut(done, n)
				t.accept(&part, queues)
				done += n
				t.room = 0
				t.mu.Unlock()
				wake(queues)
				part.tell()
				t.mu.Lock()
			}
		}
		if done == len(b.events) {
			break
		}
		if me == nil {
			me = &blockedPublisher{wake: make(chan struct{}, 1)}
			t.line = append(t.line, me)
			t.room = 0
			t.blocked.Add(1)
			continue // who settles looks at blocked: look once more after that
		}
		if err = t.waitForRoom(ctx, me); err != nil {
			err = t.full(err, t.targets(b), t.c.cfg.capacity)
			break
		}
	}
	t.leaveLine(me)
	t.mu.Unlock()
	return done, err
}

// takes returns why a batch can't be accepted at all. The topic is locked.
func (t *topic) takes(b *batch) error {
	if t.closed {
		return event.ErrClosed
	}
	if b.only != nil && t.targets(b) == nil {
		return fmt.Errorf("memory: group %q on topic %q: %w", b.only.name, t.name, event.ErrNotFound)
	}
	return nil
}

// leaveLine lets the next publisher go on. The topic is locked.
func (t *topic) leaveLine(me *blockedPublisher) {
	if me != nil {
		i := slices.Index(t.line, me)
		t.line = slices.Delete(t.line, i, i+1)
		t.blocked.Add(-1)
		if i == 0 {
			t.offerLocked()
		}
	}
	t.renewRoom()
}

// renewRoom looks how many events may come next without looking. The topic is locked.
func (t *topic) renewRoom() {
	t.room = 0
	if len(t.line) == 0 && !t.closed {
		t.line = nil
		t.room = t.look(t.queues)
	}
}

// waitForRoom waits until there may be room. The topic is unlocked meanwhile. Like
// everybody who waits, it keeps the time for crashed members.
func (t *topic) waitForRoom(ctx context.Context, me *blockedPublisher) error {
	t.mu.Unlock()
	defer t.mu.Lock()
	return sleep(ctx, me.wake, t.c, t.c.reap())
}

// full returns the error that names the fullest group. The topic is locked.
func (t *topic) full(err error, queues []*queue, bound int) error {
	e := &event.FullError{Topic: t.name, Bound: bound, Err: err}
	if q, n := fullest(queues); q != nil {
		e.Group, e.Waiting = q.g.name, n
	}
	return e
}

// produceInside accepts all events or none, without waiting: up to the capacity
// and the reserve, and beyond when nothing else can move. The topic is locked; it is
// unlocked on return.
func (t *topic) produceInside(ctx context.Context, b *batch) (int, error) {
	bound := t.c.cfg.capacity + t.c.cfg.reserve
	n := len(b.events)
	if n > max(bound, MaxOverBound) {
		t.mu.Unlock()
		return 0, fmt.Errorf("memory: %d events at once inside a handler, topic %q has a capacity and reserve of %d: %w",
			n, t.name, bound, event.ErrTooLarge)
	}
	if err := t.takes(b); err != nil {
		t.mu.Unlock()
		return 0, err
	}
	queues := t.targets(b)
	if _, have := fullest(queues); have <= bound-n {
		t.accept(b, queues)
		t.renewRoom()
		t.mu.Unlock()
		wake(queues)
		b.tell()
		if t.c.waits.Load() > 0 {
			t.c.wentOut(ctx)
		}
		return n, nil
	}
	err := t.full(nil, queues, bound)
	t.mu.Unlock()
	if t.produceOver(ctx, b, bound) {
		return n, nil
	}
	return 0, err
}
