package kafka

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A group's delay topic is a timing wheel (Varghese and Lauck, 1987), with a level for
// each of its partitions. What waits in level k waits 4^(k+1) seconds there and goes on,
// by what is then left of its delay, to a lower level and in the end to the redrive
// topic. All of a level wait equally long: it is a queue, of which no more is read than
// its front, and one offset says how far it is. The owner of partition 0 of the topic
// turns the wheel.

const (
	delayLevels = 9               // the last one is of 3 days; what waits longer passes it more than once
	shortest    = 4 * time.Second // of level 0; what is due sooner is held by the owner of its partition
	levelAhead  = 1000            // records of a level that are read before they are due
)

// levelSpan returns how long level k holds what is in it.
func levelSpan(k int) time.Duration { return shortest << (2 * k) }

// levelOf returns the level, of so many, for what is due in d; -1 when it is to be held.
func levelOf(d time.Duration, levels int) int {
	k := -1
	for k+1 < levels && d >= levelSpan(k+1) {
		k++
	}
	return k
}

// levelOf returns the level of the delay topic for what is due in d; -1 when it is to be
// held. Others may have filled the topic when we don't.
func (c *consumer) levelOf(d time.Duration, topic string) int {
	levels := c.levels[topic]
	if levels == 0 || !c.ch.cfg.DelayTopics {
		return -1
	}
	return levelOf(d, levels)
}

// level is what the owner of partition 0 knows of a partition of the delay topic.
type level struct {
	t *tenure
	k int

	recs      []*kgo.Record // the front, in order
	done      int64         // offset behind the last that has gone on
	committed int64         // of that; -1: to be committed again
	trimmed   int64         // up to where it was removed
	busy      bool          // some are going on
	paused    bool
	news      chan struct{} // more was read, or the end
}

// newLevel begins where the owner before left off.
func newLevel(t *tenure, k int, b bound) *level {
	return &level{t: t, k: k, done: b.begin, committed: b.committed, news: make(chan struct{}, 1)}
}

// read takes records in, and reports whether it has enough of them. The consumer is
// locked.
func (v *level) read(rs []*kgo.Record) (full bool) {
	next := v.done
	if n := len(v.recs); n > 0 {
		next = v.recs[n-1].Offset + 1
	}
	for _, r := range rs {
		if r.Offset >= next && !r.Attrs.IsControl() {
			v.recs = append(v.recs, r)
		}
	}
	signal(v.news)
	if v.paused || len(v.recs) < levelAhead {
		return false
	}
	v.paused = true
	return true
}

// run lets go on what is due, until the tenure ends.
func (v *level) run(s *session) {
	for {
		rs := v.next(s.alive)
		if len(rs) == 0 || !v.passOn(s, rs) {
			return
		}
	}
}

// next waits for what is due, and returns it; nothing at the end of the tenure or of
// ctx.
func (v *level) next(ctx context.Context) []*kgo.Record {
	for ctx.Err() == nil {
		rs, wait := v.due()
		if wait < 0 {
			return rs
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-v.news:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil
}

// due returns what is due, or how long to wait for it; neither at the end.
func (v *level) due() (rs []*kgo.Record, wait time.Duration) {
	c := v.t.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.t.ended || v.t.revoking || c.closing {
		return nil, -1
	}
	now := time.Now()
	for _, r := range v.recs {
		at := v.end(r)
		if at.After(now) {
			wait = at.Sub(now)
			break
		}
		rs = append(rs, r)
	}
	switch {
	case len(rs) > 0:
		v.busy = true
		return rs, -1
	case len(v.recs) == 0:
		return nil, time.Hour // or when there is news
	}
	return nil, wait
}

// end is when a record leaves the level: when it was there for as long as the level
// holds it, but not after its event is due.
func (v *level) end(r *kgo.Record) time.Time {
	at := r.Timestamp.Add(levelSpan(v.k))
	if e, err := decode(r); err != nil || e.NotBefore().Before(at) {
		return e.NotBefore() // nobody but leat writes here: what is no event goes on, to be a dead letter
	}
	return at
}

// passOn writes records where they go from here, and notes that. It reports whether it
// could before the tenure ended.
func (v *level) passOn(s *session, rs []*kgo.Record) bool {
	c := s.c
	_, ok := s.deliver(v.t, "a delayed event", len(rs), func(i int) *kgo.Record { return v.onward(rs[i]) })
	c.mu.Lock()
	v.busy = false
	if ok {
		v.recs, v.done = v.recs[len(rs):], rs[len(rs)-1].Offset+1
	}
	if v.paused && len(v.recs) < levelAhead/2 {
		v.paused = false
	}
	c.change()
	c.mu.Unlock()
	if ok {
		v.steer(s)
		s.soil()
	}
	return ok
}

// steer lets the client read the level, or not.
func (v *level) steer(s *session) {
	of := map[string][]int32{delayTopic(v.t.topic, s.c.sub.Group): {int32(v.k)}}
	s.c.steered(&v.paused, func(paused bool) {
		if paused {
			s.side.cl.PauseFetchPartitions(of)
			return
		}
		s.side.cl.ResumeFetchPartitions(of)
	})
}

// onward returns a record as it goes on: to a lower level, or to the redrive topic.
func (v *level) onward(r *kgo.Record) *kgo.Record {
	group := v.t.c.sub.Group
	if e, err := decode(r); err == nil {
		if k := levelOf(time.Until(e.NotBefore()), len(v.t.levels)); k >= 0 {
			out := &kgo.Record{Topic: delayTopic(v.t.topic, group), Key: r.Key, Value: r.Value, Headers: r.Headers}
			to(out, int32(k))
			return out
		}
	}
	h := own(r)
	mark, origin := markOf(r)
	h.mark(mark)
	h.origin(origin)
	h.add(headerGap, header(r, headerGap))
	h.add(headerAccepted, header(r, headerAccepted))
	out := &kgo.Record{Topic: v.t.again.topic, Key: r.Key, Value: r.Value, Headers: h}
	to(out, int32(headerNumber(r, headerPartition)))
	return out
}

// postpone lets a delayed event wait in the delay topic. The consumer is locked.
func (l *lane) postpone(n uint64, k int) move {
	s := l.at(n)
	l.set(n, leaving)
	h := own(s.rec)
	h.mark(s.mark)
	h.origin(s.origin)
	h.number(headerGap, s.gap)
	h.number(headerPartition, int64(l.partition))
	h.number(headerAccepted, acceptedAt(s.rec).UnixMilli())
	r := &kgo.Record{Topic: delayTopic(l.t.topic, l.t.c.sub.Group), Key: s.rec.Key, Value: s.rec.Value, Headers: h}
	to(r, int32(k))
	return l.t.s.let(move{l: l, n: n, to: int32(k), key: s.event.Key(), rec: r})
}

// wakeLevels lets the levels of a tenure look whether it goes on. The consumer is locked.
func (t *tenure) wakeLevels() {
	for _, v := range t.levels {
		signal(v.news)
	}
}

// levelMarks adds what is to be committed of the delay topic. The consumer is locked.
func (t *tenure) levelMarks(out map[partition]mark) {
	for _, v := range t.levels {
		if v.done != v.committed {
			v.committed = v.done
			out[partition{delayTopic(t.topic, t.c.sub.Group), int32(v.k)}] = mark{l: &t.main, at: v.done}
		}
	}
}

// recommit lets the next commit be about all that isn't a lane's. The consumer is
// locked.
func (t *tenure) recommit() {
	t.keys.committed = -1
	for _, v := range t.levels {
		v.committed = -1
	}
}
