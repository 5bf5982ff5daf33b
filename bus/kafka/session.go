package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/event"
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
	network  context.Context // ends what the clients wait for, when they don't close by themselves
	cut      context.CancelFunc
	shutting sync.Once
	closed   chan struct{} // closed when the clients are
	dirty    chan struct{} // there is something to commit
	turn     chan struct{} // full while somebody writes offsets of the group
	txs      *transactor   // nil: without transactions

	backlog []fetched     // of read
	scratch []slot        // of read
	resumed chan struct{} // a partition is read on

	strangeSince time.Time // of read: see isStrange

	// Events on their way to the group's own topics; the consumer is locked.
	leaving []move           // that are to be sent
	sending bool             // somebody sends them
	gone    uint64           // how many there were
	stuck   map[queue][]move // that could not go, and those behind them

	begun      sync.Mutex // never held while something is waited for
	beginnings map[partition]beginning
}

// beginning is where a partition goes on, as the group's commits say.
type beginning struct {
	at      int64 // -1: nowhere
	p       progress
	unbegun bool // and nothing before was ever the group's
}

// open makes a session. It joins the group in the background.
func (c *consumer) open() (*session, error) {
	s := &session{
		c: c, closed: make(chan struct{}), dirty: make(chan struct{}, 1), turn: make(chan struct{}, 1),
		resumed:    make(chan struct{}, 1),
		beginnings: make(map[partition]beginning),
	}
	s.reading, s.stopRead = context.WithCancel(context.Background())
	s.alive, s.end = context.WithCancel(context.Background())
	s.network, s.cut = context.WithCancel(context.Background())
	s.beat.limit, s.beat.patient = c.ch.cfg.SessionTimeout, c.rebalanceTimeout()
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
	stopped := c.closing
	if !stopped { // else Close may have looked already for what to end
		c.s = s
		if c.sub.Ephemeral {
			c.assign(s, "", c.begin)
		}
	}
	c.mu.Unlock()
	if stopped {
		s.shut()
		return nil, event.ErrClosed
	}
	return s, nil
}

// consuming returns the options of a client that consumes.
func (s *session) consuming() []kgo.Opt {
	c := s.c
	opts := append(c.dialing(),
		kgo.WithContext(s.network),
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
		kgo.BlockRebalanceOnPoll(),
		kgo.SessionTimeout(timeout),
		kgo.HeartbeatInterval(min(3*time.Second, timeout/4)),
		kgo.RebalanceTimeout(c.rebalanceTimeout()),
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

// rebalanceTimeout is how long the members of a group have to give up what moves.
func (c *consumer) rebalanceTimeout() time.Duration {
	return max(time.Minute, c.sub.Grace+30*time.Second)
}

// dialing returns how the consumer reaches the cluster, where that isn't as the channel
// does.
func (c *consumer) dialing() []kgo.Opt {
	opts := []kgo.Opt{kgo.WithHooks(&door{all: c.ch.doors, tell: c.tell})}
	if c.ch.onDial == nil {
		return opts
	}
	return append(opts, kgo.Dialer(bounded(c.ch.onDial(c, c.ch.cfg.dial))))
}

// run works until the session ends.
func (s *session) run() {
	var wg sync.WaitGroup
	wg.Go(s.read)
	if !s.c.sub.Ephemeral {
		wg.Go(s.keepCommitted)
		wg.Go(s.watch)
		wg.Go(s.side.run)
	}
	wg.Wait()
	s.cl.AllowRebalance() // nobody polls any more: what waits for that in the client may end
}

// stopReading lets no more be read; what is in hand is settled and committed still.
func (s *session) stopReading() { s.stopRead() }

// soil tells that there is something to commit.
func (s *session) soil() { signal(s.dirty) }

// renew ends the session so that another takes its place.
func (s *session) renew() {
	bye, cancel := context.WithTimeout(s.reading, leaveTimeout)
	defer cancel()
	s.c.lose(s.c.all(s))
	_ = s.cl.LeaveGroupContext(bye)
	s.shut()
}

func (s *session) tellErrors(fetches kgo.Fetches) {
	fetches.EachError(func(topic string, p int32, err error) {
		var session *kgo.ErrGroupSession
		switch {
		case errors.Is(err, context.Canceled), kerr.IsRetriable(err) && !isGone(err):
		case errors.As(err, &session) || topic == "":
			s.c.tell(fmt.Errorf("kafka: group %q: %w", s.c.sub.Group, err))
		case isGone(err):
			s.c.tell(fmt.Errorf("kafka: group %q: topic %q isn't there, was it removed? %w", s.c.sub.Group, topic, err))
		default:
			s.c.tell(fmt.Errorf("kafka: group %q, topic %q, partition %d: %w", s.c.sub.Group, topic, p, err))
		}
	})
}

// isGone reports whether an error says that a topic was removed.
func isGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// offsetsFetched notes where the partitions go on.
func (s *session) offsetsFetched(_ context.Context, _ *kgo.Client, res *kmsg.OffsetFetchResponse) error {
	s.begun.Lock()
	defer s.begun.Unlock()
	for _, g := range res.Groups {
		for _, topic := range g.Topics {
			for _, p := range topic.Partitions {
				b := beginning{at: p.Offset, unbegun: p.Offset < 0}
				if p.Metadata != nil && p.Offset >= 0 {
					b.unbegun = *p.Metadata == unbegunMetadata
					b.p = decodeProgress(p.Offset, *p.Metadata)
				}
				s.beginnings[partition{topic.Topic, p.Partition}] = b
			}
		}
	}
	return nil
}

// beginningOf returns where a partition begins whose first record is at an offset.
func (s *session) beginningOf(p partition, first int64) beginning {
	s.begun.Lock()
	defer s.begun.Unlock()
	b, known := s.beginnings[p]
	if !known || b.at < 0 || b.at > first { // nothing was committed, or the log was cut
		return beginning{at: first, unbegun: known && b.unbegun}
	}
	return b
}

// leave writes what is settled, leaves the group and ends the session.
func (s *session) leave(ctx context.Context) error {
	s.stopRead()
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	var err error
	if !s.c.sub.Ephemeral {
		err = s.commitLast(wait, nil)
		if errors.Is(err, context.DeadlineExceeded) { // a rebalance holds it up, and others have a grace
			grace, cancel := context.WithTimeout(ctx, s.c.sub.Grace)
			err = s.commitLast(grace, nil)
			cancel()
		}
		last := leaveTimeout
		if err != nil { // nobody answers
			last = closeTimeout
		}
		bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), last)
		defer cancel()
		_ = s.cl.LeaveGroupContext(bye)
	}
	select {
	case <-s.shut():
	case <-wait.Done(): // the network is dead: the rest ends by itself
	}
	return err
}

// leaveTimeout bounds how long a member tries to commit and to say goodbye.
const leaveTimeout = 5 * time.Second

// closeTimeout bounds how long its clients try to end what they have begun: they wait
// for the answer to a JoinGroup, which may be minutes when a broker hangs.
const closeTimeout = time.Second

// shut closes what the session holds, in the background, and returns a channel that is
// closed when that is done: a client whose network is dead takes its time. The group
// learns of it by the session timeout unless it was left before.
func (s *session) shut() <-chan struct{} {
	s.stopRead()
	s.end()
	s.shutting.Do(func() { s.c.ch.shutting.Go(s.close) }) // Close and the clock may want it at once
	return s.closed
}

// close closes the clients.
func (s *session) close() {
	defer close(s.closed)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	late := time.AfterFunc(closeTimeout, s.cut)
	defer late.Stop()
	defer s.cut()
	_ = s.cl.LeaveGroupContext(ended) // or Close would wait for the coordinator
	s.cl.CloseAllowingRebalance()
	s.cl.AllowRebalance() // a poll that ended meanwhile holds up what leaves the group
	s.side.close()
	s.txs.close()
}
