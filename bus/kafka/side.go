package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	found   []found
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
		added, removed, found := d.added, d.removed, d.found
		d.added, d.removed, d.found = nil, nil, nil
		d.mu.Unlock()
		d.forget(removed)
		d.ask(added, &work)
		for _, f := range found {
			d.start(f, &work)
		}
		fetches := pollUntil(d.s.alive, d.cl, d.news, readAhead)
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
		for k := range t.levels { // nobody but run changes them
			topic := delayTopic(t.topic, d.s.c.sub.Group)
			gone[topic] = append(gone[topic], int32(k))
		}
	}
	if len(gone) > 0 {
		d.cl.RemoveConsumePartitions(gone)
	}
}

// found is where the group's own topics are to be read for tenures of a topic.
type found struct {
	topic  string
	ts     []*tenure
	levels int
	at     map[partition]bound
}

// ask asks where to read for tenures, for those of each topic apart: what can't start
// holds up nothing else, and tries again.
func (d *side) ask(ts []*tenure, work *sync.WaitGroup) {
	of := make(map[string][]*tenure)
	for _, t := range ts {
		of[t.topic] = append(of[t.topic], t)
	}
	for topic, ts := range of {
		work.Go(func() {
			f := found{topic: topic, ts: ts}
			if err := d.find(&f); err != nil {
				d.s.c.tell(err)
				time.AfterFunc(time.Second, func() { d.add(d.s.c.lasting(ts)) })
				return
			}
			d.mu.Lock()
			d.found = append(d.found, f)
			d.mu.Unlock()
			signal(d.news)
		})
	}
}

// lasting returns the tenures that go on.
func (c *consumer) lasting(ts []*tenure) []*tenure {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(ts), func(t *tenure) bool { return t.ended || t.revoking })
}

func (d *side) find(f *found) (err error) {
	c, group := d.s.c, d.s.c.sub.Group
	topics := ownTopics(f.topic, group)
	if slices.ContainsFunc(f.ts, func(t *tenure) bool { return t.n == 0 }) { // who has it turns the wheel
		if f.levels, err = c.ch.levelsOf(d.s.alive, group, f.topic); err != nil {
			return fmt.Errorf("kafka: group %q: %w", group, err)
		}
		if f.levels > 0 {
			topics = append(topics, delayTopic(f.topic, group))
		}
	}
	f.at, err = c.ch.bounds(d.s.alive, group, topics)
	return err
}

// start begins to read for tenures: where the owner before left off. What is there
// now is read before the first event of the topic itself is handed out.
func (d *side) start(f found, work *sync.WaitGroup) {
	group := d.s.c.sub.Group
	from := make(map[string]map[int32]kgo.Offset)
	read := func(topic string, n int32, b bound) {
		if from[topic] == nil {
			from[topic] = make(map[int32]kgo.Offset)
		}
		from[topic][n] = kgo.NewOffset().At(b.begin)
	}
	var moves []move
	var grown []*tenure
	c := d.s.c
	c.mu.Lock()
	for _, t := range f.ts {
		if t.ended || t.revoking {
			continue
		}
		dead, there := f.at[partition{deadTopic(t.topic, group), t.n}]
		again, too := f.at[partition{t.again.topic, t.n}]
		if !there || !too { // the topic has grown
			grown = append(grown, t)
			continue
		}
		t.again.begin(again.begin, again.p)
		t.keys.from(dead)
		read(deadTopic(t.topic, group), t.n, dead)
		read(t.again.topic, t.n, again)
		if t.n == 0 {
			c.levels[t.topic] = f.levels
			for k := range f.levels {
				topic := delayTopic(t.topic, group)
				b := f.at[partition{topic, int32(k)}]
				v := newLevel(t, k, b)
				t.levels = append(t.levels, v)
				read(topic, int32(k), b)
				work.Go(func() { v.run(d.s) })
			}
		}
		moves = append(moves, t.settleIn()...)
	}
	c.mu.Unlock()
	d.s.moveAll(moves)
	if len(from) > 0 {
		d.cl.ResumeFetchPartitions(partitionsIn(from)) // the client remembers that they were full when we had them before
		d.cl.AddConsumePartitions(from)
	}
	if len(grown) > 0 {
		work.Go(func() {
			c.tell(d.follow(f.topic))
			time.AfterFunc(time.Second, func() { d.add(c.lasting(grown)) })
		})
	}
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
	later []*level // that there is enough of
	lost  []event.Token
	asked []func() // redrives to carry out
	told  []error
}

// take takes in what was read of the group's own topics.
func (d *side) take(fetches kgo.Fetches, work *sync.WaitGroup) {
	c := d.s.c
	var in arrivals
	c.mu.Lock()
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		t, what := d.of(p.Topic, p.Partition)
		if len(p.Records) == 0 || t == nil || t.ended || t.revoking || c.closing {
			return
		}
		switch what {
		case delaySuffix:
			if v := t.levels[p.Partition]; v.read(p.Records) {
				in.later = append(in.later, v)
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
	for _, v := range in.later {
		v.steer(d.s)
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
	if cmd := t.keys.begin(); cmd != nil {
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
		return nil, fmt.Errorf("kafka: group %q: where %s begin: %w", group, strings.Join(topics, ", "), err)
	}
	ends, err := listedOf(ctx, adm.ListCommittedOffsets, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: group %q: where %s end: %w", group, strings.Join(topics, ", "), err)
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
