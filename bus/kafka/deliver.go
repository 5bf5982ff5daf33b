package kafka

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// deliver writes n records for the owner of a partition, and those that the brokers
// refuse again and again: none twice that was written. It returns the offset behind the
// last, or false when the tenure or the session ended before.
func (s *session) deliver(t *tenure, what string, n int, record func(i int) *kgo.Record) (until int64, ok bool) {
	left := make([]int, n)
	for i := range left {
		left[i] = i
	}
	for pause := 100 * time.Millisecond; len(left) > 0; pause = min(2*pause, 10*time.Second) {
		if s.isOver(t) {
			return 0, false
		}
		rs := make([]*kgo.Record, len(left))
		for i, l := range left {
			rs[i] = record(l)
		}
		errs := make([]error, len(rs))
		if !s.produce(rs, errs) {
			return 0, false
		}
		again := left[:0]
		for i, err := range errs {
			if err == nil {
				until = max(until, rs[i].Offset+1)
				continue
			}
			again = append(again, left[i])
			s.c.tell(fmt.Errorf("kafka: group %q, topic %q, partition %d: %s can't go to topic %q: %w",
				s.c.sub.Group, t.topic, t.n, what, rs[i].Topic, err))
		}
		left = again
		if len(left) > 0 && sleep(s.alive, pause) != nil {
			return 0, false
		}
	}
	return until, true
}

func (s *session) isOver(t *tenure) bool {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	return t.ended || s.alive.Err() != nil
}

// produce waits for the brokers' answer to each record, however long they don't let us
// in: what was sent once may still be written. It reports false at the end of the
// session.
func (s *session) produce(rs []*kgo.Record, errs []error) bool {
	cl, err := s.c.ch.use()
	if err != nil {
		return false
	}
	left, done := len(rs), make(chan struct{}) // the client answers on one goroutine
	for i, r := range rs {
		cl.Produce(context.WithoutCancel(s.alive), r, func(r *kgo.Record, err error) {
			if err != nil {
				_, errs[i] = judge(r.Topic, err)
			}
			if left--; left == 0 {
				close(done)
			}
		})
	}
	for {
		err := s.c.ch.doors.wait(s.alive, done)
		if err == nil {
			return true
		}
		if s.alive.Err() != nil {
			return false
		}
		s.c.tell(err)
	}
}
