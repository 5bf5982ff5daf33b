package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var errGone = errors.New("kafka: the partition is another member's")

// carryOut carries out a redrive, and those that wait for it: the letters are copied to
// the redrive topic, then a record says that they are. Who dies in between leaves it to
// the next owner, who begins anew: a letter may come again twice, and is never lost.
func (s *session) carryOut(t *tenure, cmd *command) {
	for pause := 100 * time.Millisecond; cmd != nil; {
		err := s.tryCarryOut(t, cmd)
		switch {
		case err == nil:
			cmd, pause = s.c.nextRedrive(t), 100*time.Millisecond
			continue
		case errors.Is(err, errGone) || s.alive.Err() != nil:
			return
		}
		s.c.tell(fmt.Errorf("kafka: group %q: redriving on topic %q, partition %d: %w", s.c.sub.Group, t.topic, t.n, err))
		if sleep(s.alive, pause) != nil {
			return
		}
		pause = min(2*pause, 10*time.Second)
	}
}

// nextRedrive begins the next redrive of a tenure, if there is one and it may.
func (c *consumer) nextRedrive(t *tenure) *command {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.ended || t.revoking || c.closing {
		return nil
	}
	return t.keys.begin()
}

func (s *session) tryCarryOut(t *tenure, cmd *command) error {
	targets, err := s.targets(t, cmd)
	if err != nil {
		return err
	}
	copies, err := s.copies(t, cmd, targets)
	if err != nil {
		return err
	}
	until, ok := s.deliver(t, "a letter", len(copies), func(i int) *kgo.Record {
		r := *copies[i]
		to(&r, t.n)
		return &r
	})
	if !ok {
		return errGone
	}
	done, ok := s.deliver(t, "what became of letters", 1, func(int) *kgo.Record { return newDone(t, cmd, targets, until) })
	if !ok {
		return errGone
	}
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if !t.ended {
		t.keys.end(cmd, targets, done-1, until)
		t.offer()
		s.c.change()
	}
	return nil
}

// targets returns which letters to send again. Events of the key that are on their
// way behind it belong to them.
func (s *session) targets(t *tenure, cmd *command) ([]int64, error) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until(s.alive, func() bool { return t.ended || t.keys.moving[cmd.key] == 0 })
	if t.ended || s.alive.Err() != nil {
		return nil, errGone
	}
	if !t.keys.released[cmd.key] {
		return cmd.targets, nil
	}
	return union(cmd.targets, t.keys.keys[cmd.key]), nil
}

// copies returns the letters as they go to the redrive topic.
func (s *session) copies(t *tenure, cmd *command, targets []int64) (out []*kgo.Record, err error) {
	if len(targets) == 0 {
		return nil, nil
	}
	from, to := targets[0], max(targets[len(targets)-1]+1, cmd.offset)
	before := newFold(false) // what was known when the redrive was asked for
	err = s.c.ch.scan(s.alive, deadTopic(t.topic, s.c.sub.Group), map[int32]stretch{t.n: {from, to}}, func(r *kgo.Record) bool {
		if _, wanted := slices.BinarySearch(targets, r.Offset); wanted && !s.c.isGone(t, r) {
			out = append(out, newCopy(r, t.again.topic, t.n))
		}
		if r.Offset < cmd.offset {
			before.apply(r)
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	out = slices.DeleteFunc(out, func(r *kgo.Record) bool { return r.Offset < cmd.offset && before.isLeaving(r.Offset) })
	if len(cmd.repaired) == 0 || len(out) == 0 {
		return out, nil
	}
	e, err := event.ParseJSON(cmd.repaired)
	if err != nil {
		return nil, fmt.Errorf("the repaired event: %w", err)
	}
	at := slices.IndexFunc(out, func(r *kgo.Record) bool { return r.Offset == cmd.targets[0] })
	if at < 0 {
		return out, nil // somebody was faster
	}
	return out, encodeOver(out[at], e)
}

// isGone reports whether a parked letter is redriven or discarded already.
func (c *consumer) isGone(t *tenure, r *kgo.Record) bool {
	if header(r, headerKind) != kindParked {
		return false // owners don't keep the others
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.keys.live[r.Offset] == nil
}

// newCopy returns a letter as it goes to the redrive topic.
func newCopy(r *kgo.Record, topic string, partition int32) *kgo.Record {
	h := own(r)
	h.mark(event.MarkRedriven)
	h.add(headerOrigin, header(r, headerOrigin))
	h.add(headerGap, header(r, headerGap))
	out := &kgo.Record{Offset: r.Offset, Topic: topic, Key: r.Key, Value: r.Value, Headers: h}
	to(out, partition)
	return out
}

// encodeOver puts an event in place of another.
func encodeOver(r *kgo.Record, e event.Event) error {
	var leats headers
	for _, h := range r.Headers {
		if h.Key == headerMark || h.Key == headerOrigin || h.Key == headerGap {
			leats = append(leats, h)
		}
	}
	r.Key = nil
	if err := encode(r, e); err != nil {
		return err
	}
	r.Headers = append(r.Headers, leats...)
	return nil
}

// newDone returns the record that says that letters are in the redrive topic.
func newDone(t *tenure, cmd *command, targets []int64, until int64) *kgo.Record {
	var h headers
	h.add(headerKind, kindDone)
	h.number(headerCommand, cmd.offset)
	h.number(headerUntil, until)
	r := &kgo.Record{Topic: deadTopic(t.topic, t.c.sub.Group), Key: []byte(cmd.key), Value: encodeOffsets(targets), Headers: h}
	to(r, t.n)
	return r
}

// write produces records and waits for the brokers' answers.
func (ch *Channel) write(ctx context.Context, rs ...*kgo.Record) error {
	if len(rs) == 0 {
		return nil
	}
	cl, err := ch.use()
	if err != nil {
		return err
	}
	var errs error // the client answers on one goroutine
	left, done := len(rs), make(chan struct{})
	answer := func(r *kgo.Record, err error) {
		if err != nil {
			_, err = judge(r.Topic, err)
			errs = errors.Join(errs, err)
		}
		if left--; left == 0 {
			close(done)
		}
	}
	for _, r := range rs {
		cl.Produce(context.WithoutCancel(ctx), r, answer)
	}
	if err := ch.doors.wait(ctx, done); err != nil {
		return err
	}
	return errs
}
