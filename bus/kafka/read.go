package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// fetched is what the client has fetched of a partition and nobody has taken in: it
// fetches the next meanwhile.
type fetched struct {
	t        *tenure
	rs       []*kgo.Record
	logStart int64
}

// read takes in records while there is room for them.
func (s *session) read() {
	for s.reading.Err() == nil {
		if !s.c.roomToRead() {
			select {
			case <-s.c.more:
			case <-s.reading.Done():
			}
			continue
		}
		if f := s.nextFetched(); f != nil {
			s.take(f)
			continue
		}
		s.fetch()
	}
}

func (c *consumer) roomToRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[queued] < readAhead
}

// fetch asks the client for what it has, and waits for that.
func (s *session) fetch() {
	var resumed <-chan struct{}
	if len(s.backlog) > 0 { // of partitions that are full
		resumed = s.resumed
	}
	fetches := pollUntil(s.reading, s.cl, resumed, 0)
	if s.reading.Err() == nil && !fetches.IsClientClosed() {
		s.tellErrors(fetches)
		s.stow(fetches)
	}
	s.cl.AllowRebalance()
	if err := fetches.Err(); err == nil || errors.Is(err, context.Canceled) {
		s.strangeSince = time.Time{}
		return
	}
	_ = sleep(s.reading, 100*time.Millisecond) // some errors the client repeats at once
	switch {
	case !isStrange(fetches):
		s.strangeSince = time.Time{}
	case s.strangeSince.IsZero():
		s.strangeSince = time.Now()
	case time.Since(s.strangeSince) > time.Second && s.reading.Err() == nil:
		s.renew()
	}
}

// pollUntil polls a client until it has something, or there is news. Who has taken the
// news is done with when it returns: the next news is for the next poll.
func pollUntil(ctx context.Context, cl *kgo.Client, news <-chan struct{}, most int) kgo.Fetches {
	if news == nil {
		return cl.PollRecords(ctx, most)
	}
	poll, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-news:
			cancel()
		case <-poll.Done():
		}
	})
	defer watch.Wait()
	defer cancel()
	return cl.PollRecords(poll, most)
}

// isStrange reports whether a topic is not the one that we knew by that name. The
// client never takes the new one.
func isStrange(fetches kgo.Fetches) bool {
	return slices.ContainsFunc(fetches.Errors(), func(e kgo.FetchError) bool { return errors.Is(e.Err, kerr.UnknownTopicID) })
}

// stow puts what was fetched into the backlog. It belongs to the tenures of this moment:
// a later one of the same partition begins elsewhere.
func (s *session) stow(fetches kgo.Fetches) {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		t := c.owned[partition{p.Topic, p.Partition}]
		if len(p.Records) > 0 && t != nil && t.s == s {
			s.backlog = append(s.backlog, fetched{t, p.Records, p.LogStartOffset})
		}
	})
}

// nextFetched returns what to take in next, or nil: nothing, or all of it is of
// partitions that are full.
func (s *session) nextFetched() *fetched {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.backlog = slices.DeleteFunc(s.backlog, func(f fetched) bool {
		return len(f.rs) == 0 || f.t.ended || f.t.revoking || s.c.closing
	})
	for i := range s.backlog {
		if !s.backlog[i].t.main.paused {
			return &s.backlog[i]
		}
	}
	return nil
}

// chunk is how many records are decoded at a time: few enough to be still in the
// processor's caches when they are handed out.
const chunk = 512

// take takes in some of what was fetched.
func (s *session) take(f *fetched) {
	c := s.c
	rs := f.rs[:min(len(f.rs), chunk)]
	f.rs = f.rs[len(rs):]
	slots := s.decode(rs)
	defer clear(slots)
	var moves []move
	var full []*lane
	var errs []error
	c.mu.Lock()
	l := &f.t.main
	if f.t.ended || f.t.revoking || c.closing {
		c.mu.Unlock()
		return
	}
	if l.next < 0 { // the first of this tenure
		b := s.beginningOf(f.t.partition, rs[0].Offset)
		l.begin(b.at, b.p)
		if c.ch.cfg.DelayTopics && !b.unbegun { // what was settled may wait in the delay topic
			l.passed = b.at
		}
	}
	if from, to := l.next, f.logStart; from < to {
		errs = append(errs, fmt.Errorf("kafka: group %q, topic %q, partition %d: "+
			"%d offsets from %d on were deleted before all of them were handled",
			c.sub.Group, l.topic, l.partition, to-from, from))
	}
	for i, r := range rs {
		moves = l.enter(r, slots[i], moves)
	}
	if l.fill() {
		full, errs = append(full, l), append(errs, l.chokes())
	}
	f.t.offer()
	c.mu.Unlock()
	for _, err := range errs {
		c.tell(err)
	}
	c.steer(full)
	s.moveAll(moves)
	s.soil()
}

// decode makes slots of records, in memory that is used again.
func (s *session) decode(rs []*kgo.Record) []slot {
	s.scratch = slices.Grow(s.scratch[:0], len(rs))[:len(rs)]
	for i, r := range rs {
		if !r.Attrs.IsControl() {
			s.scratch[i] = read(r, false)
		}
	}
	return s.scratch
}

// enter opens a slot for a record, unless it is settled already.
func (l *lane) enter(r *kgo.Record, s slot, moves []move) []move {
	if !l.saw(r.Offset) {
		if !l.redrive && l.t.c.ch != nil && l.t.c.ch.cfg.DelayTopics {
			l.passed = max(l.passed, r.Offset+1)
		}
		return moves
	}
	if r.Attrs.IsControl() {
		return moves
	}
	if !l.redrive {
		s.gap = r.Offset - l.passed
		l.passed = r.Offset + 1
	}
	at := s.event.NotBefore()
	wait := time.Duration(0)
	if !at.IsZero() {
		wait = time.Until(at)
	}
	k := l.t.c.levelOf(wait, l.t.topic)
	switch {
	case k >= 0:
		s.state = leaving
		moves = append(moves, l.postpone(l.push(s), k))
	case wait > 0:
		s.state = delayed
		l.t.c.delays.add(at, l, l.push(s))
	case !l.t.ready: // it is not known yet what is parked
		l.push(s)
	case l.t.keys.parked(s.event.Key()) && l.t.keys.holds(s.origin):
	case l.t.keys.parked(s.event.Key()):
		s.state = leaving
		moves = append(moves, l.leave(l.push(s)))
	default:
		l.push(s)
	}
	return moves
}
