package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// keepCommitted commits what is settled, at most once in a CommitInterval, and the
// offsets of the group's own topics now and then though nothing changed: brokers forget
// those of topics that a group isn't subscribed to (offsets.retention.minutes, 7 days).
func (s *session) keepCommitted() {
	every := s.c.ch.cfg.CommitInterval
	again, tidy := time.NewTicker(remember), time.NewTicker(trimEvery)
	defer again.Stop()
	defer tidy.Stop()
	for {
		select {
		case <-tidy.C:
			s.trim(s.alive)
			continue
		case <-again.C:
			s.soilOwn()
		case <-s.dirty:
		case <-s.alive.Done():
			return
		}
		if sleep(s.alive, every) != nil {
			return
		}
		if err := s.commit(s.alive, nil); err != nil && s.alive.Err() == nil {
			s.c.tell(err)
			s.soil()
		}
	}
}

const (
	remember  = 6 * time.Hour    // how often what is unchanged is committed again
	trimEvery = 10 * time.Minute // how often what is settled is removed from the redrive topic
)

// soilOwn lets the next commit be about all of the group's own topics.
func (s *session) soilOwn() {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	for _, t := range s.c.tenures {
		t.again.dirty = true
		t.recommit()
	}
}

// mark is what is committed of a partition.
type mark struct {
	l        *lane
	at       int64
	metadata string
}

// commitLast is commit for what can't be committed later: it tries until ctx ends.
func (s *session) commitLast(ctx context.Context, ts []*tenure) error {
	start := time.Now()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := s.commit(ctx, ts)
		removed := unknown(err) && time.Since(start) > newTopic
		if err == nil || removed || isFinal(err) || sleep(ctx, pause) != nil {
			return err
		}
	}
}

// newTopic is how long a group's coordinator may not know a topic that was just made.
const newTopic = 3 * time.Second

// isFinal reports whether a commit would fail in the same way again.
func isFinal(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kgo.ErrClientClosed)
}

// commit writes the progress of tenures, of all when none is named, and waits. There
// is one at a time: an older one must not come last, and who finds nothing to commit
// must know that what is on its way has arrived.
func (s *session) commit(ctx context.Context, ts []*tenure) error {
	if err := s.takeTurn(ctx); err != nil {
		return fmt.Errorf("kafka: group %q: committing: another commit is not answered for: %w", s.c.sub.Group, err)
	}
	defer s.passTurn()
	marks := s.marks(ts)
	if len(marks) == 0 {
		return nil
	}
	offsets := make(map[string]map[int32]kgo.EpochOffset)
	for p, m := range marks {
		if offsets[p.topic] == nil {
			offsets[p.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.topic][p.n] = kgo.EpochOffset{Epoch: -1, Offset: m.at}
	}
	var failed error
	withMetadata := kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		s.complete(req, marks)
		return nil
	})
	answered := func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, res *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err == nil {
			failed = s.judge(res)
		}
	}
	s.cl.CommitOffsetsSync(withMetadata, offsets, answered)
	s.c.mu.Lock()
	for p, m := range marks {
		switch {
		case failed != nil:
			m.l.dirty = true // again, next time
			m.l.t.recommit()
		case p.topic == m.l.topic:
			m.l.committed = m.at
		}
	}
	s.c.mu.Unlock()
	if failed == nil {
		return nil
	}
	return fmt.Errorf("kafka: group %q: committing: %w", s.c.sub.Group, failed)
}

// complete adds the metadata to a commit that is about to be sent, and takes out what
// is no longer ours: the coordinator refuses a request of an older generation, it does
// not know whose a partition is.
func (s *session) complete(req *kmsg.OffsetCommitRequest, marks map[partition]mark) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	topics := req.Topics[:0]
	for _, t := range req.Topics {
		ps := t.Partitions[:0]
		for _, p := range t.Partitions {
			m := marks[partition{t.Topic, p.Partition}]
			if m.l.t.ended || m.l.t.member != req.MemberID {
				continue
			}
			p.Metadata = &m.metadata
			ps = append(ps, p)
		}
		if t.Partitions = ps; len(ps) > 0 {
			topics = append(topics, t)
		}
	}
	req.Topics = topics
}

// takeTurn waits until nobody else writes offsets of the group: what overtakes a
// transaction would undo what it committed.
func (s *session) takeTurn(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *session) passTurn() { <-s.turn }

// judge returns the first error of a commit that matters. Topics that are gone matter
// least.
func (s *session) judge(res *kmsg.OffsetCommitResponse) (gone error) {
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			switch {
			case err == nil:
			case errors.Is(err, kerr.OffsetMetadataTooLarge):
				s.c.ch.metadataLimit.Store(s.c.ch.metadataLimit.Load() / 2)
				return err
			case unknown(err):
				gone = fmt.Errorf("topic %q, partition %d: %w", t.Topic, p.Partition, err)
			default:
				return fmt.Errorf("topic %q, partition %d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return gone
}

// marks collects what is to be committed.
func (s *session) marks(ts []*tenure) map[partition]mark {
	c := s.c
	c.mu.Lock()
	defer c.mu.Unlock()
	if ts == nil {
		for _, t := range c.tenures {
			if t.s == s {
				ts = append(ts, t)
			}
		}
	}
	limit := int(c.ch.metadataLimit.Load())
	out := make(map[partition]mark)
	for _, t := range ts {
		if t.ended {
			continue
		}
		for _, l := range [...]*lane{&t.main, &t.again} {
			if !l.dirty || l.next < 0 {
				continue
			}
			m, complete := l.mark(nil, limit)
			if !complete {
				continue // what was committed before tells more of what matters
			}
			l.dirty = false
			out[partition{l.topic, l.partition}] = m
		}
		if m, dirty := t.keys.mark(t); dirty {
			out[partition{deadTopic(t.topic, c.sub.Group), t.n}] = m
		}
		t.levelMarks(out)
	}
	return out
}

// mark returns what is to be committed of a lane. complete tells whether nothing is
// left out of it that a transaction settled.
func (l *lane) mark(x *transaction, limit int) (m mark, complete bool) {
	p := l.progress(x)
	m = mark{l, l.base(x), ""}
	m.metadata = p.encode(m.at, limit)
	return m, !l.t.c.ch.cfg.Transactions || p.tells(m.at, m.metadata, l.exact)
}
