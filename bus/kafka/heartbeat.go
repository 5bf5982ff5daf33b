package kafka

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/event"
)

// heartbeat is when the group's coordinator was last known to have heard of us. A
// member that is cut off learns nothing; by its own clock it gives up what it has
// before the coordinator gives that to others.
type heartbeat struct {
	limit   time.Duration
	patient time.Duration // how long the coordinator waits for others when somebody joins
	good    atomic.Int64  // when the last request was sent that was answered, in ns
	joining atomic.Int64  // when a JoinGroup was sent that is not answered, in ns: the coordinator waits for others
}

var (
	_ kgo.HookBrokerE2E   = (*heartbeat)(nil)
	_ kgo.HookBrokerWrite = (*heartbeat)(nil)
)

// OnBrokerWrite implements [kgo.HookBrokerWrite].
func (h *heartbeat) OnBrokerWrite(_ kgo.BrokerMetadata, key int16, _ int, _, _ time.Duration, err error) {
	if err == nil && key == int16(kmsg.JoinGroup) {
		h.joining.Store(time.Now().UnixNano())
	}
}

// OnBrokerE2E implements [kgo.HookBrokerE2E].
func (h *heartbeat) OnBrokerE2E(_ kgo.BrokerMetadata, key int16, e kgo.BrokerE2E) {
	switch kmsg.Key(key) {
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat:
	default:
		return
	}
	sent := time.Now().Add(-e.TimeToWrite - e.ReadWait - e.TimeToRead)
	if kmsg.Key(key) == kmsg.JoinGroup {
		h.joining.Store(0)
		sent = time.Now() // while others are waited for, a member counts as alive
	}
	if e.Err() == nil {
		h.good.Store(sent.UnixNano())
	}
}

// left returns how long the member may believe that it is one.
func (h *heartbeat) left(now time.Time) time.Duration {
	last := h.good.Load()
	if joined := h.joining.Load(); joined > 0 {
		last = max(last, joined+int64(h.patient))
	}
	return time.Unix(0, last).Add(h.limit - h.limit/20).Sub(now)
}

// watch ends the session when the member has been cut off for so long that others may
// have what is its own.
func (s *session) watch() {
	for {
		left := s.beat.left(time.Now())
		if left <= 0 && s.c.owns(s) {
			s.cutOff()
			return
		}
		if sleep(s.alive, max(left, s.beat.limit/20)) != nil {
			return
		}
	}
}

func (c *consumer) owns(s *session) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenures {
		if t.s == s {
			return true
		}
	}
	return false
}

// cutOff gives up what the member has.
func (s *session) cutOff() {
	s.c.tell(fmt.Errorf("kafka: group %q: no answer from its coordinator in %v, the session timeout: "+
		"what is in hand may be another member's: %w", s.c.sub.Group, s.beat.limit, event.ErrLeaseLost))
	s.c.lose(s.c.all(s))
	s.shut()
}

// all returns the tenures of a session.
func (c *consumer) all(s *session) (ts []*tenure) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.tenures {
		if t.s == s {
			ts = append(ts, t)
		}
	}
	return ts
}
