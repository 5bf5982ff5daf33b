package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// session is a consumer's connection to the cluster, from its joining of the group to
// its leaving. It has three goroutines, and one more that reads the group's own
// topics: they read records, commit what is settled, and look at the clock.
type session struct {
	c    *consumer
	cl   *kgo.Client
	side *side
	beat heartbeat

	reading  context.Context // ends when no more is to be read
	stopRead context.CancelFunc
	alive    context.Context // ends with the session
	end      context.CancelFunc
	dirty    chan struct{} // there is something to commit
	turn     chan struct{} // full while somebody writes offsets of the group
	txs      *transactor   // nil: without transactions

	begun      sync.Mutex // never held while something is waited for
	beginnings map[partition]beginning
}

// beginning is where a partition goes on, as the group's commits say.
type beginning struct {
	at int64 // -1: nowhere
	p  progress
}

// open makes a session. It joins the group in the background.
func (c *consumer) open() (*session, error) {
	s := &session{c: c, dirty: make(chan struct{}, 1), turn: make(chan struct{}, 1), beginnings: make(map[partition]beginning)}
	s.reading, s.stopRead = context.WithCancel(context.Background())
	s.alive, s.end = context.WithCancel(context.Background())
	s.beat.limit = c.ch.cfg.SessionTimeout
	s.beat.good.Store(time.Now().UnixNano())
	var err error
	if c.transacts() {
		s.txs = newTransactor(s)
	}
	if !c.sub.Ephemeral {
		if s.side, err = newSide(s); err != nil {
			return nil, err
		}
	}
	if s.cl, err = kgo.NewClient(c.ch.options(s.consuming()...)...); err != nil { // joins
		s.side.close()
		return nil, fmt.Errorf("kafka: group %q: %w", c.sub.Group, err)
	}
	c.mu.Lock()
	c.s = s
	stopped := c.closing
	if c.sub.Ephemeral {
		c.assign(s, c.begin)
	}
	c.mu.Unlock()
	if stopped {
		s.stopRead()
	}
	return s, nil
}

// consuming returns the options of a client that consumes.
func (s *session) consuming() []kgo.Opt {
	c := s.c
	opts := append(c.dialing(),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // to know that nothing is behind them
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
	)
	if c.sub.Ephemeral {
		from := make(map[string]map[int32]kgo.Offset)
		for p, o := range c.begin {
			if from[p.topic] == nil {
				from[p.topic] = make(map[int32]kgo.Offset)
			}
			from[p.topic][p.n] = o
		}
		return append(opts, kgo.ConsumePartitions(from))
	}
	timeout := c.ch.cfg.SessionTimeout
	opts = append(opts,
		kgo.ConsumerGroup(c.sub.Group),
		kgo.ConsumeTopics(c.sub.Topics...),
		kgo.DisableAutoCommit(),
		kgo.RequireStableFetchOffsets(),
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(min(3*time.Second, timeout/4)),
		kgo.RebalanceTimeout(max(time.Minute, c.sub.Grace+30*time.Second)),
		kgo.OnOffsetsFetched(s.offsetsFetched),
		kgo.OnPartitionsAssigned(s.assigned),
		kgo.OnPartitionsRevoked(s.revoked),
		kgo.OnPartitionsLost(s.lost),
		kgo.WithHooks(&s.beat),
	)
	if c.ch.cfg.ServerSide {
		return append(opts, kgo.ServerSideBalancer(), kgo.Balancers(kgo.RangeBalancer()))
	}
	return append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
}

// dialing returns how the consumer reaches the cluster, where that isn't as the channel
// does.
func (c *consumer) dialing() []kgo.Opt {
	if c.ch.onDial == nil {
		return nil
	}
	return []kgo.Opt{kgo.Dialer(c.ch.onDial(c, c.ch.cfg.dial))}
}

// run works until the session ends.
func (s *session) run() {
	var wg sync.WaitGroup
	wg.Go(s.read)
	if !s.c.sub.Ephemeral {
		wg.Go(s.commits)
		wg.Go(s.watch)
		wg.Go(s.side.run)
	}
	wg.Wait()
}

// stopReading lets no more be read; what is in hand is settled and committed still.
func (s *session) stopReading() { s.stopRead() }

// soil tells that there is something to commit.
func (s *session) soil() { signal(s.dirty) }

// read reads records while there is room for them.
func (s *session) read() {
	c := s.c
	for s.reading.Err() == nil {
		if !c.roomToRead() {
			select {
			case <-c.more:
			case <-s.reading.Done():
			}
			continue
		}
		fetches := s.cl.PollRecords(s.reading, readAhead)
		if s.reading.Err() == nil && !fetches.IsClientClosed() {
			s.tellErrors(fetches)
			s.take(fetches)
		}
		s.cl.AllowRebalance()
	}
}

func (c *consumer) roomToRead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.count[queued] < readAhead
}

func (s *session) tellErrors(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, p int32, err error) {
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(err, context.Canceled):
		case errors.As(err, &session) || topic == "":
			s.c.tell(fmt.Errorf("kafka: group %q: %w", s.c.sub.Group, err))
		default:
			s.c.tell(fmt.Errorf("kafka: group %q, topic %q, partition %d: %w", s.c.sub.Group, topic, p, err))
		}
	})
}

// take takes in what was read.
func (s *session) take(fetches kgo.Fetches) {
	c := s.c
	var moves []move
	pause := make(map[string][]int32)
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if len(p.Records) == 0 {
			return
		}
		slots := make([]slot, len(p.Records))
		for i, r := range p.Records {
			if !r.Attrs.IsControl() {
				slots[i] = read(r, false)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		t := c.owned[partition{p.Topic, p.Partition}]
		if t == nil || t.s != s || t.revoking || c.closing {
			return
		}
		if t.main.next < 0 { // the first of this tenure
			t.main.begin(s.beginningOf(t.partition, p.Records[0].Offset))
		}
		for i, r := range p.Records {
			moves = t.main.enter(r, slots[i], moves)
		}
		if !t.main.paused && t.main.open() >= most {
			t.main.paused = true
			pause[p.Topic] = append(pause[p.Topic], p.Partition)
		}
		t.offer()
	})
	if len(pause) > 0 {
		s.cl.PauseFetchPartitions(pause)
	}
	s.moveAll(moves)
	s.soil()
}

// enter opens a slot for a record, unless it is settled already.
func (l *lane) enter(r *kgo.Record, s slot, moves []move) []move {
	if !l.saw(r.Offset) || r.Attrs.IsControl() {
		return moves
	}
	at := s.event.NotBefore()
	switch {
	case !at.IsZero() && time.Until(at) > 0:
		s.state = delayed
		l.t.c.delays.add(at, l, l.push(s))
	case l.t.keys.parked(s.event.Key()) && l.t.keys.holds(s.origin):
	case l.t.keys.parked(s.event.Key()):
		s.state = leaving
		moves = append(moves, l.leave(l.push(s)))
	default:
		l.push(s)
	}
	return moves
}

// settledSome resumes what was paused. The consumer is locked; what is returned is for
// the client.
func (l *lane) settledSome() bool {
	if !l.paused || l.open() > resume {
		return false
	}
	l.paused = false
	return true
}

// offsetsFetched notes where the partitions go on.
func (s *session) offsetsFetched(_ context.Context, _ *kgo.Client, res *kmsg.OffsetFetchResponse) error {
	s.begun.Lock()
	defer s.begun.Unlock()
	for _, g := range res.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				b := beginning{at: p.Offset}
				if p.Metadata != nil && p.Offset >= 0 {
					b.p = decodeProgress(p.Offset, *p.Metadata)
				}
				s.beginnings[partition{topic.Topic, p.Partition}] = b
			}
		}
	}
	return nil
}

// beginningOf returns where a partition begins whose first record is at an offset.
func (s *session) beginningOf(p partition, first int64) (int64, progress) {
	s.begun.Lock()
	defer s.begun.Unlock()
	b, known := s.beginnings[p]
	if !known || b.at < 0 || b.at > first { // nothing was committed, or the log was cut
		return first, progress{}
	}
	return b.at, b.p
}

// leave writes what is settled, leaves the group and ends the session.
func (s *session) leave(ctx context.Context) error {
	s.stopRead()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	var err error
	if !s.c.sub.Ephemeral {
		err = s.commit(wait, nil)
		_ = s.cl.LeaveGroupContext(wait)
	}
	s.shut()
	return err
}

// leaveTimeout bounds how long a member tries to commit and to say goodbye.
const leaveTimeout = 5 * time.Second

// shut closes what the session holds. The group learns of it by the session timeout
// unless it was left before.
func (s *session) shut() {
	s.stopRead()
	s.end()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.cl.LeaveGroupContext(ended) // or Close would wait for the coordinator
	s.cl.CloseAllowingRebalance()
	s.side.close()
	s.txs.close()
}
