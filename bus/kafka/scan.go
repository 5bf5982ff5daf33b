package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// stretch is offsets of a partition, from one up to before another.
type stretch struct{ from, to int64 }

// scanner reads stretches of a topic. What is removed meanwhile it doesn't wait for.
type scanner struct {
	ch    *Channel
	cl    *kgo.Client
	topic string
	of    map[int32]stretch
	open  map[int32]bool // partitions that more is to come of
}

// scanner returns one for stretches of a topic; it is to be closed.
func (ch *Channel) scanner(topic string, of map[int32]stretch) (*scanner, error) {
	s := &scanner{ch: ch, topic: topic, of: of, open: make(map[int32]bool)}
	from := make(map[int32]kgo.Offset)
	for n, part := range of {
		if part.from < part.to {
			from[n], s.open[n] = kgo.NewOffset().At(part.from), true
		}
	}
	if len(from) == 0 {
		return s, nil
	}
	var err error
	s.cl, err = kgo.NewClient(ch.options(
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
	)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	return s, nil
}

func (s *scanner) close() {
	if s.cl != nil {
		s.cl.Close()
	}
}

// poll calls f with records that were read, those of a partition in order, and notes
// which partitions are at their end.
func (s *scanner) poll(ctx context.Context, most int, f func(*kgo.Record)) error {
	wait, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	fetches := s.cl.PollRecords(wait, most)
	err := firstError(fetches)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = s.passOver(ctx)
	}
	if err != nil {
		return fmt.Errorf("kafka: reading topic %q: %w", s.topic, err)
	}
	for _, r := range fetches.Records() {
		to := s.of[r.Partition].to
		if r.Offset < to && !r.Attrs.IsControl() {
			f(r)
		}
		if s.open[r.Partition] && r.Offset >= to-1 { // the last may be removed meanwhile
			delete(s.open, r.Partition)
			s.pause(r.Partition)
		}
	}
	return nil
}

func (s *scanner) pause(n int32) { s.cl.PauseFetchPartitions(map[string][]int32{s.topic: {n}}) }

func (s *scanner) resume(n int32) { s.cl.ResumeFetchPartitions(map[string][]int32{s.topic: {n}}) }

// scan calls f with the records of stretches of a topic, those of a partition in
// order, until f returns false.
func (ch *Channel) scan(ctx context.Context, topic string, of map[int32]stretch, f func(*kgo.Record) bool) error {
	s, err := ch.scanner(topic, of)
	if err != nil {
		return err
	}
	defer s.close()
	for enough := false; len(s.open) > 0 && !enough; {
		err := s.poll(ctx, readAhead, func(r *kgo.Record) { enough = enough || !f(r) })
		if err != nil {
			return err
		}
	}
	return nil
}

// passOver takes out the partitions of which all was removed that is to be read.
func (s *scanner) passOver(ctx context.Context) error {
	adm, err := s.ch.admin()
	if err != nil {
		return err
	}
	starts, err := listed(ctx, adm.ListStartOffsets, s.topic)
	if unknown(err) { // so was the topic
		clear(s.open)
		return nil
	}
	if err != nil {
		return err
	}
	for n, start := range starts[s.topic] {
		if start.Offset >= s.of[n].to {
			delete(s.open, n)
		}
	}
	return nil
}

func firstError(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		return e.Err
	}
	return nil
}
