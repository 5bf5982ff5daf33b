package kafka

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// commits writes what is settled, at most once in a CommitInterval.
func (s *session) commits() {
	every := s.c.ch.cfg.CommitInterval
	for {
		select {
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

// mark is what is committed of a partition.
type mark struct {
	l        *lane
	at       int64
	metadata string
}

// commit writes the progress of tenures, of all when none is named, and waits.
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
	metadata := make(map[partition]string, len(marks))
	for p, m := range marks {
		if offsets[p.topic] == nil {
			offsets[p.topic] = make(map[int32]kgo.EpochOffset)
		}
		offsets[p.topic][p.n] = kgo.EpochOffset{Epoch: -1, Offset: m.at}
		metadata[p] = m.metadata
	}
	var failed error
	withMetadata := kgo.PreCommitFnContext(ctx, func(req *kmsg.OffsetCommitRequest) error {
		for i := range req.Topics {
			t := &req.Topics[i]
			for j := range t.Partitions {
				text := metadata[partition{t.Topic, t.Partitions[j].Partition}]
				t.Partitions[j].Metadata = &text
			}
		}
		return nil
	})
	s.cl.CommitOffsetsSync(withMetadata, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, res *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err == nil {
			failed = s.judge(res)
		}
	})
	if failed == nil {
		return nil
	}
	s.c.mu.Lock()
	for _, m := range marks {
		m.l.dirty = true // again, next time
	}
	s.c.mu.Unlock()
	return fmt.Errorf("kafka: group %q: committing: %w", s.c.sub.Group, failed)
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

// judge returns the first error of a commit that matters.
func (s *session) judge(res *kmsg.OffsetCommitResponse) error {
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			switch {
			case err == nil:
			case errors.Is(err, kerr.OffsetMetadataTooLarge):
				s.c.ch.metadataLimit.Store(s.c.ch.metadataLimit.Load() / 2)
				return err
			default:
				return fmt.Errorf("topic %q, partition %d: %w", t.Topic, p.Partition, err)
			}
		}
	}
	return nil
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
