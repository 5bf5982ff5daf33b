package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// side reads the group's own topics for the partitions that a session owns: the dead
// letters, which say which keys are parked and what is to be sent again, and the
// redrive topic. They are not part of the group's subscription, so that whoever owns a
// partition of the topic has theirs too.
type side struct {
	s    *session
	cl   *kgo.Client
	news chan struct{} // tenures were added or removed

	mu      sync.Mutex
	added   []*tenure
	removed []*tenure
}

func newSide(s *session) (*side, error) {
	cl, err := kgo.NewClient(s.c.ch.options(append(s.c.dialing(),
		kgo.WithContext(s.network),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(500*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{}),
	)...)...)
	if err != nil {
		return nil, fmt.Errorf("kafka: group %q: %w", s.c.sub.Group, err)
	}
	return &side{s: s, cl: cl, news: make(chan struct{}, 1)}, nil
}

// close ends it; an ephemeral consumer has none.
func (d *side) close() {
	if d != nil {
		d.cl.Close()
	}
}

func (d *side) add(ts []*tenure) {
	d.mu.Lock()
	d.added = append(d.added, ts...)
	d.mu.Unlock()
	signal(d.news)
}

func (d *side) remove(ts []*tenure) {
	d.mu.Lock()
	d.removed = append(d.removed, ts...)
	d.mu.Unlock()
	signal(d.news)
}

// run reads until the session ends.
func (d *side) run() {
	var work sync.WaitGroup
	defer work.Wait()
	for d.s.alive.Err() == nil {
		d.mu.Lock()
		added, removed := d.added, d.removed
		d.added, d.removed = nil, nil
		d.mu.Unlock()
		d.forget(removed)
		if err := d.start(added, &work); err != nil && d.s.alive.Err() == nil {
			d.s.c.tell(err)
			_ = sleep(d.s.alive, time.Second)
			d.add(added)
			continue
		}
		poll, cancel := context.WithCancel(d.s.alive)
		go func() {
			select {
			case <-d.news:
				cancel()
			case <-poll.Done():
			}
		}()
		fetches := d.cl.PollRecords(poll, readAhead)
		cancel()
		if !fetches.IsClientClosed() {
			d.s.tellErrors(fetches)
			d.take(fetches, &work)
		}
	}
}

// forget stops to read for tenures.
func (d *side) forget(ts []*tenure) {
	gone := make(map[string][]int32)
	for _, t := range ts {
		for _, topic := range ownTopics(t.topic, d.s.c.sub.Group) {
			gone[topic] = append(gone[topic], t.n)
		}
		for k := range d.levels(t) {
			topic := delayTopic(t.topic, d.s.c.sub.Group)
			gone[topic] = append(gone[topic], int32(k))
		}
	}
	if len(gone) > 0 {
		d.cl.RemoveConsumePartitions(gone)
	}
}

// start begins to read for tenures: where the owner before left off. What is there
// now is read before the first event of the topic itself is handed out.
func (d *side) start(ts []*tenure, work *sync.WaitGroup) error {
	if len(ts) == 0 {
		return nil
	}
	group := d.s.c.sub.Group
	var topics []string
	seen := make(map[string]bool)
	for _, t := range ts {
		if !seen[t.topic] {
			seen[t.topic] = true
			topics = append(topics, ownTopics(t.topic, group)...)
		}
		if d.levels(t) > 0 {
			topics = append(topics, delayTopic(t.topic, group))
		}
	}
	at, err := d.s.c.ch.bounds(d.s.alive, group, topics)
	if err != nil {
		return err
	}
	for _, t := range ts {
		if _, there := at[partition{t.again.topic, t.n}]; !there { // the topic has grown
			return d.follow(t.topic)
		}
	}
	from := make(map[string]map[int32]kgo.Offset)
	read := func(topic string, n int32, b bound) {
		if from[topic] == nil {
			from[topic] = make(map[int32]kgo.Offset)
		}
		from[topic][n] = kgo.NewOffset().At(b.begin)
	}
	var moves []move
	c := d.s.c
	c.mu.Lock()
	for _, t := range ts {
		if t.ended || t.revoking {
			continue
		}
		dead, again := at[partition{deadTopic(t.topic, group), t.n}], at[partition{t.again.topic, t.n}]
		t.again.begin(again.begin, again.p)
		t.keys.from(dead)
		read(deadTopic(t.topic, group), t.n, dead)
		read(t.again.topic, t.n, again)
		for k := range d.levels(t) {
			topic := delayTopic(t.topic, group)
			b := at[partition{topic, int32(k)}]
			t.levels = append(t.levels, newLevel(t, k, b))
			read(topic, int32(k), b)
		}
		for _, v := range t.levels {
			work.Go(func() { v.run(d.s) })
		}
		moves = append(moves, t.settleIn()...)
	}
	c.mu.Unlock()
	d.s.moveAll(moves)
	d.cl.ResumeFetchPartitions(partitionsIn(from)) // the client remembers that they were full when we had them before
	d.cl.AddConsumePartitions(from)
	return nil
}

// levels returns how many levels of the delay topic a tenure turns.
func (d *side) levels(t *tenure) int {
	if t.n != 0 {
		return 0
	}
	return d.s.c.levels[t.topic]
}

func partitionsIn(of map[string]map[int32]kgo.Offset) map[string][]int32 {
	out := make(map[string][]int32)
	for topic, ps := range of {
		out[topic] = slices.Collect(maps.Keys(ps))
	}
	return out
}

// errGrown says that a group's own topics have just got more partitions.
var errGrown = errors.New("its own topics get as many")

// follow gives a group's own topics as many partitions as a topic has.
func (d *side) follow(topic string) error {
	c := d.s.c
	cl, err := c.ch.use()
	if err == nil {
		err = c.ch.ensureOwn(d.s.alive, c.sub.Group, topic)
	}
	if err != nil {
		return err
	}
	cl.ForceMetadataRefresh()
	return fmt.Errorf("kafka: group %q: topic %q has more partitions: %w", c.sub.Group, topic, errGrown)
}

// settleIn lets the events of the topic flow once all is read that concerns them. The
// consumer is locked.
func (t *tenure) settleIn() (moves []move) {
	if !t.ready && t.keys.next >= t.keys.target {
		t.ready = true
		moves = t.follow()
	}
	t.offer()
	return moves
}

// arrivals is what follows from what was read of the group's own topics.
type arrivals struct {
	moves []move
	full  []*lane
	later map[string][]int32 // partitions that there is enough of
	lost  []event.Token
	asked []func() // redrives to carry out
	told  []error
}

// take takes in what was read of the group's own topics.
func (d *side) take(fetches kgo.Fetches, work *sync.WaitGroup) {
	c := d.s.c
	in := arrivals{later: make(map[string][]int32)}
	c.mu.Lock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		t, what := d.of(p.Topic, p.Partition)
		if len(p.Records) == 0 || t == nil || t.ended || t.revoking || c.closing {
			return
		}
		switch what {
		case delaySuffix:
			if t.levels[p.Partition].read(p.Records) {
				in.later[p.Topic] = append(in.later[p.Topic], p.Partition)
			}
		case redriveSuffix:
			d.takeRedriven(t, p.Records, &in)
		case deadSuffix:
			d.takeLetters(t, p.Records, &in)
		}
	})
	c.mu.Unlock()
	for _, carryOut := range in.asked {
		work.Go(carryOut)
	}
	for _, err := range in.told {
		c.tell(err)
	}
	c.tellLost(in.lost)
	if len(in.later) > 0 {
		d.cl.PauseFetchPartitions(in.later)
	}
	c.steer(in.full)
	d.s.moveAll(in.moves)
	d.s.soil()
}

func (d *side) takeRedriven(t *tenure, rs []*kgo.Record, in *arrivals) {
	for _, r := range rs {
		in.moves = t.again.enter(r, read(r, true), in.moves)
	}
	if t.again.fill() {
		in.full, in.told = append(in.full, &t.again), append(in.told, t.again.chokes())
	}
	in.moves = append(in.moves, t.settleIn()...)
}

func (d *side) takeLetters(t *tenure, rs []*kgo.Record, in *arrivals) {
	for _, r := range rs {
		if key := t.keys.see(r); key != "" && t.ready {
			moves, lost := t.takeAway(key)
			in.moves, in.lost = append(in.moves, moves...), append(in.lost, lost...)
		}
	}
	for _, cmd := range t.keys.begin() {
		in.asked = append(in.asked, func() { d.s.carryOut(t, cmd) })
	}
	in.moves = append(in.moves, t.settleIn()...)
}

// of returns the tenure that a partition of the group's own topics belongs to, and the
// suffix of that topic. The consumer is locked.
func (d *side) of(topic string, n int32) (*tenure, string) {
	group := d.s.c.sub.Group
	for _, t := range d.s.c.tenures {
		switch {
		case t.s != d.s:
		case int(n) < len(t.levels) && topic == delayTopic(t.topic, group):
			return t, delaySuffix
		case t.n != n:
		case topic == t.again.topic:
			return t, redriveSuffix
		case topic == deadTopic(t.topic, group):
			return t, deadSuffix
		}
	}
	return nil, ""
}

// bound is where a partition of a group's own topics begins and ends.
type bound struct {
	begin, end int64
	committed  int64 // -1: nothing
	p          progress
}

// bounds returns where to read topics for a group.
func (ch *Channel) bounds(ctx context.Context, group string, topics []string) (map[partition]bound, error) {
	adm, err := ch.admin()
	if err != nil {
		return nil, err
	}
	starts, err := listedOf(ctx, adm.ListStartOffsets, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: group %q: where its own topics begin: %w", group, err)
	}
	ends, err := listedOf(ctx, adm.ListCommittedOffsets, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: group %q: where its own topics end: %w", group, err)
	}
	commits, err := committed(kadm.RequireStable(ctx), adm, group, topics...) // of the owner before, too
	if err != nil {
		return nil, err
	}
	out := make(map[partition]bound)
	for topic, ps := range starts {
		for n, start := range ps {
			b := bound{begin: start.Offset, end: ends[topic][n].Offset, committed: -1}
			if at, known := commits.Lookup(topic, n); known && at.At >= start.Offset {
				b.begin, b.committed, b.p = at.At, at.At, decodeProgress(at.At, at.Metadata)
			}
			out[partition{topic, n}] = b
		}
	}
	return out, nil
}
