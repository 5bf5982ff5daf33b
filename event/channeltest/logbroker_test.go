package channeltest

import (
	"context"
	"hash/fnv"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/leat-go/leat/event"
)

// logBroker is a little Kafka: partitions, offsets, members that own partitions,
// rebalances that take their time, and nothing that can be given back. The suite
// must not ask more of such a channel than it promises.
type logBroker struct {
	flaw string // a promise to break

	mu     sync.Mutex
	closed bool
	topics map[string]*logTopic
	groups map[string]*logGroup
	change chan struct{} // closed and replaced with everything that happens
}

const (
	logPartitions = 4
	logLatency    = 2 * time.Millisecond
	logJoin       = 300 * time.Millisecond
	logSession    = 3 * time.Second
)

type logTopic [logPartitions][]logRecord

type logRecord struct {
	e   event.Event
	raw []byte
	at  time.Time
}

type logPartition struct {
	topic string
	n     int
}

type logGroup struct {
	b       *logBroker
	topics  map[string]bool
	start   map[logPartition]int
	done    map[logPartition]map[int]bool
	owner   map[logPartition]*logMember
	next    map[logPartition]int
	passed  map[logPartition]int // behind the last one that the owner got, or passed on
	tenure  map[logPartition]uint64
	members []*logMember
	moving  int // rebalances under way

	letters []event.DeadLetter
	parked  map[logKey]bool
	front   map[logPartition][]*logAgain // what is redriven, ahead of all else
	serial  int
}

type logKey struct{ topic, key string }

// logAgain is an event that was redriven.
type logAgain struct {
	logRecord

	off int // where it stood
	out bool
}

type logMember struct {
	b       *logBroker
	g       *logGroup
	s       event.Subscription
	hand    map[event.Token]*logDelivery
	closing bool
	gone    bool
	dies    bool // after its next dead letter
}

type logDelivery struct {
	p     logPartition
	off   int
	again *logAgain // when it was redriven
	begun bool
	lease event.Lease
}

func newLogBroker(flaw string) *logBroker {
	return &logBroker{flaw: flaw, topics: map[string]*logTopic{}, groups: map[string]*logGroup{}, change: make(chan struct{})}
}

func (b *logBroker) changed() {
	close(b.change)
	b.change = make(chan struct{})
}

// until waits with the lock held until cond is true, or ctx ends.
func (b *logBroker) until(ctx context.Context, cond func() bool) error {
	for !cond() {
		change := b.change
		b.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
		}
		b.mu.Lock()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

func logPause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (b *logBroker) topic(name string) *logTopic {
	if b.topics[name] == nil {
		b.topics[name] = &logTopic{}
	}
	return b.topics[name]
}

type logProducer struct {
	b     *logBroker
	topic string
}

func (b *logBroker) Producer(_ context.Context, topic string) (event.Producer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, event.ErrClosed
	}
	return &logProducer{b, topic}, nil
}

func (p *logProducer) Produce(ctx context.Context, events ...event.Event) error {
	var failed event.ProduceError
	bad := map[int]bool{}
	for i, e := range events {
		err := e.Validate()
		if time.Until(e.NotBefore()) > 0 {
			err = event.ErrDelayTooLong
		}
		if err != nil {
			bad[i] = true
			failed.Failed = append(failed.Failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: err})
		}
	}
	p.b.mu.Lock()
	if p.b.closed {
		p.b.mu.Unlock()
		return event.ErrClosed
	}
	for i, e := range events {
		if bad[i] {
			continue
		}
		n := partitionOf(e)
		t := p.b.topic(p.topic)
		t[n] = append(t[n], logRecord{e: e, at: time.Now()})
	}
	p.b.changed()
	p.b.mu.Unlock()
	if err := logPause(ctx, logLatency); err != nil { // it is in the log all the same
		for i, e := range events {
			if !bad[i] {
				failed.Failed = append(failed.Failed, event.ProduceFailure{Index: i, ID: e.ID(), Err: err, Maybe: true})
			}
		}
	}
	if failed.Failed != nil {
		return &failed
	}
	return nil
}

func partitionOf(e event.Event) int {
	by := e.Key()
	if by == "" {
		by = e.ID()
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(by))
	return int(h.Sum32() % logPartitions)
}

func (b *logBroker) Guarantees(context.Context, string, string) (event.Guarantees, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return event.Guarantees{}, event.ErrClosed
	}
	return event.Guarantees{Channel: "log", OrderPerKey: true, Durable: true, History: true, Lease: logSession, Parks: true, Positions: true}, nil
}

func (b *logBroker) Close(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.changed()
	return nil
}

func (b *logBroker) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, event.ErrClosed
	}
	g := b.groups[s.Group]
	if g == nil {
		g = &logGroup{
			b: b, topics: map[string]bool{}, start: map[logPartition]int{}, done: map[logPartition]map[int]bool{},
			owner: map[logPartition]*logMember{}, next: map[logPartition]int{}, passed: map[logPartition]int{}, tenure: map[logPartition]uint64{},
			parked: map[logKey]bool{}, front: map[logPartition][]*logAgain{},
		}
		b.groups[s.Group] = g
	}
	for _, topic := range s.Topics {
		if g.topics[topic] {
			continue
		}
		g.topics[topic] = true
		for n, records := range b.topic(topic) {
			p := logPartition{topic, n}
			g.done[p] = map[int]bool{}
			switch s.From.Kind {
			case event.StartNewest:
				g.start[p] = len(records)
			case event.StartSince:
				i := slices.IndexFunc(records, func(r logRecord) bool { return !r.at.Before(s.From.Time) })
				if i < 0 {
					i = len(records)
				}
				g.start[p] = i
			case event.StartDefault, event.StartOldest:
			}
		}
	}
	m := &logMember{b: b, g: g, s: s, hand: map[event.Token]*logDelivery{}}
	g.members = append(g.members, m)
	g.moving++
	go func() { // the group exists; the member gets its share later
		_ = logPause(ctx, logJoin)
		b.mu.Lock()
		defer b.mu.Unlock()
		g.rebalance(ctx)
	}()
	return m, nil
}

// rebalance shares the partitions out anew: each is waited for up to Grace until
// what is begun of it is done. The broker is locked.
func (g *logGroup) rebalance(ctx context.Context) {
	var members []*logMember
	for _, m := range g.members {
		if !m.closing {
			members = append(members, m)
		}
	}
	i := 0
	var all []logPartition
	for topic := range g.topics {
		for n := range logPartitions {
			all = append(all, logPartition{topic, n})
		}
	}
	slices.SortFunc(all, func(a, b logPartition) int { return a.n - b.n })
	for _, p := range all {
		var to *logMember
		for range members {
			if m := members[i%len(members)]; slices.Contains(m.s.Topics, p.topic) {
				to = m
			}
			i++
			if to != nil {
				break
			}
		}
		from := g.owner[p]
		if from == to {
			continue
		}
		if from != nil && !from.gone {
			grace, cancel := context.WithTimeout(ctx, from.s.Grace)
			_ = g.b.until(grace, func() bool { return !from.running(p) })
			cancel()
			if g.owner[p] != from {
				continue // another rebalance was faster
			}
		}
		g.give(p, to)
	}
	g.moving--
	g.b.changed()
}

func (m *logMember) running(p logPartition) bool {
	for _, d := range m.hand {
		if d.p == p && d.begun {
			return true
		}
	}
	return false
}

// give makes a member the owner of a partition, from the first that isn't done.
func (g *logGroup) give(p logPartition, to *logMember) {
	if from := g.owner[p]; from != nil {
		for t, d := range from.hand {
			if d.p == p {
				delete(from.hand, t)
				d.lease.End(event.ErrLeaseLost)
			}
		}
	}
	g.tenure[p]++
	g.owner[p] = to
	g.next[p], g.passed[p] = g.start[p], 0
	for _, a := range g.front[p] {
		a.out = false
	}
	g.b.changed()
}

func (b *logBroker) DeadLetters(_ context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		b.mu.Lock()
		var letters []event.DeadLetter
		if g := b.groups[group]; g != nil {
			letters = slices.Clone(g.letters)
		}
		b.mu.Unlock()
		for _, l := range letters {
			l.Group = group
			if l.Topic == topic && !yield(l, nil) {
				return
			}
		}
	}
}

func (b *logBroker) remove(d event.DeadLetter) (*logGroup, error) {
	g := b.groups[d.Group]
	if g == nil {
		return nil, event.ErrNotFound
	}
	n := len(g.letters)
	g.letters = slices.DeleteFunc(g.letters, func(l event.DeadLetter) bool { return l.Handle == d.Handle })
	if n == len(g.letters) {
		return nil, event.ErrNotFound
	}
	return g, nil
}

// put appends bytes that are no event.
func (b *logBroker) put(topic string, raw []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topic(topic)
	t[0] = append(t[0], logRecord{raw: raw, at: time.Now()})
	b.changed()
}

// reopen kills what is open and opens the broker again.
func (b *logBroker) reopen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch b.flaw {
	case "forgets events":
		clear(b.topics)
	case "forgets groups":
		clear(b.groups)
	case "forgets acks":
		for _, g := range b.groups {
			for p := range g.done {
				g.done[p] = map[int]bool{}
			}
		}
	}
	for _, g := range b.groups {
		for _, m := range slices.Clone(g.members) {
			m.gone, m.closing = true, true
			m.leave()
		}
		g.moving++
		g.rebalance(context.Background())
	}
	b.closed = false
}

func logHarness(flaw string) Harness {
	return Harness{
		Open: func(testing.TB) event.Channel { return newLogBroker(flaw) },
		Declared: &Declaration{
			Guarantees: event.Guarantees{
				Channel: "log", OrderPerKey: true, Durable: true, History: true, Lease: logSession, Parks: true, Positions: true,
			},
			Capabilities: DeadLetters | Ends,
		},
		Members: logPartitions,
		Crash:   func(c event.Consumer) { c.(*logMember).crash() },
		CrashAfterDead: func(c event.Consumer) {
			m := c.(*logMember)
			m.b.mu.Lock()
			m.dies = true
			m.b.mu.Unlock()
			time.AfterFunc(time.Second, m.crash)
		},
		Reopen: func(_ testing.TB, ch event.Channel) event.Channel {
			ch.(*logBroker).reopen()
			return ch
		},
		PutRaw: func(_ testing.TB, ch event.Channel, topic string, raw []byte) { ch.(*logBroker).put(topic, raw) },
		Bubble: true,
		Events: 2000,
	}
}

func TestLogBroker(t *testing.T) { Run(t, logHarness("")) }

func TestFlawsOfLogBrokerAreCaught(t *testing.T) {
	for flaw, byCase := range map[string][]string{
		"the origin before the letter": {"DeadLetters/BeforeTheOrigin"},
		"parks nothing":                {"Park/LaterOnesFollow", "Park/WhatIsThere", "Park/KnownToNextOwner"},
		"forgets parked keys":          {"Park/KnownToNextOwner", "Park/SurvivesCrash"},
		"parks for ever":               {"Park/Redriven", "Park/Front"},
		"cuts bytes":                   {"Delivery/Undecodable"},
		"forgets events":               {"Durable/Accepted", "Durable/Open"},
		"forgets groups":               {"Durable/Acked", "Durable/DeadLetters"},
		"forgets acks":                 {"Durable/Acked"},
	} {
		t.Run(flaw, func(t *testing.T) { mustCatch(t, logHarness(flaw), byCase) })
	}
}
