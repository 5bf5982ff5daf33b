package bus_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Three types of one topic, two with batch handlers and one without, share their keys;
// a fourth has no handler.
type (
	BulkA struct{ ID string }
	BulkB struct{ ID string }
	Solo  struct{ ID string }
	Other struct{ ID string }
	Echo  struct{ ID string }
)

func (BulkA) EventTopic() string { return "stress" }
func (BulkB) EventTopic() string { return "stress" }
func (Solo) EventTopic() string  { return "stress" }
func (Other) EventTopic() string { return "stress" }

// stress is one run: what was published, and what became of it.
type stress struct {
	t         *testing.T
	seed      uint64
	real      bool // in real time
	unordered bool
	inFlight  int
	max       [2]int
	wait      time.Duration
	ch        *altered
	members   []*stressed
	runs      atomic.Int64 // of batches

	mu      sync.Mutex
	before  map[string]string // the event before it, of its key
	tries   map[string]int
	final   map[string]bool // a handler's answer ended it
	settled map[string]string
	echoed  map[string]bool
	good    map[string]bool // a handler succeeded, whatever became of that
}

func (s *stress) failf(format string, args ...any) {
	s.t.Helper()
	s.t.Errorf("seed %d: "+format, append([]any{s.seed}, args...)...)
}

// chance returns a number below n that is the same in every run of a seed.
func (s *stress) chance(n int, what string, args ...any) int {
	h := fmt.Sprint(s.seed, what, args)
	var sum uint64 = 14695981039346656037
	for i := range len(h) {
		sum = (sum ^ uint64(h[i])) * 1099511628211
	}
	sum ^= sum >> 29
	return int(sum % uint64(n))
}

func (s *stress) pause(d time.Duration) {
	if s.real {
		runtime.Gosched()
		return
	}
	time.Sleep(d) // virtual
}

// member starts a member of the group.
func (s *stress) member() {
	m := &stressed{s: s, answers: make(map[string]string)}
	m.b = bus.New(bus.Config{
		Channel: s.ch, KeepChannel: true, Hooks: []any{m}, CancelGrace: time.Second,
		Logger: slog.New(slog.DiscardHandler),
	})
	unit := time.Second
	if s.real {
		unit = time.Millisecond
	}
	opts := []bus.SubscribeOption{
		bus.Retry(bus.Backoff{First: unit, Max: 4 * unit, Attempts: 1000}), bus.Workers(1 + s.chance(3, "workers", len(s.members))),
	}
	if s.inFlight > 0 {
		opts = append(opts, bus.InFlight(s.inFlight))
	}
	if s.unordered {
		opts = append(opts, bus.Unordered())
	}
	bus.SubscribeBatch(m.b, "g", func(ctx context.Context, es []BulkA) error {
		ids := make([]string, len(es))
		for i, e := range es {
			ids[i] = e.ID
		}
		return m.batch(ctx, ids, s.max[0])
	}, append(opts, bus.Batch(s.max[0], s.wait))...)
	bus.SubscribeBatch(m.b, "g", func(ctx context.Context, es []BulkB) error {
		ids := make([]string, len(es))
		for i, e := range es {
			ids[i] = e.ID
		}
		return m.batch(ctx, ids, s.max[1])
	}, append(opts, bus.Batch(s.max[1], 0))...)
	bus.Subscribe(m.b, "g", func(ctx context.Context, e Solo) error {
		answer, err := m.handle(ctx, e.ID, nil)
		m.note(e.ID, answer)
		return err
	}, opts...)
	bus.Subscribe(m.b, "echoes", func(_ context.Context, e Echo) error {
		s.mu.Lock()
		s.echoed[e.ID] = true
		s.mu.Unlock()
		return nil
	})
	if err := m.b.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	m.consumer = s.ch.latest("g")
	s.members = append(s.members, m)
}

// latest returns the consumer of a group that was made last.
func (a *altered) latest(group string) event.Consumer {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, s := range slices.Backward(a.wanted) {
		if s.Group == group {
			return a.consumers[i]
		}
	}
	return nil
}

// leave lets a member go: in order, in a hurry, or as if its process had died.
func (s *stress) leave(m *stressed, how int) {
	m.gone = true
	if how == 2 {
		s.ch.Crash(m.consumer)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if how > 0 {
		cancel()
	}
	if err := m.b.Shutdown(ctx); err != nil && how == 0 {
		s.failf("shutdown: %v", err)
	}
	cancel()
}

func newStress(t *testing.T, seed uint64, inRealTime bool) *stress {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	s := &stress{
		t: t, seed: seed, real: inRealTime, unordered: r.IntN(5) == 0,
		max:    [2]int{1 + r.IntN(20), 1 + r.IntN(20)},
		wait:   []time.Duration{0, time.Millisecond, time.Second}[r.IntN(3)],
		before: make(map[string]string), tries: make(map[string]int), final: make(map[string]bool),
		settled: make(map[string]string), echoed: make(map[string]bool), good: make(map[string]bool),
	}
	if r.IntN(2) == 0 {
		s.inFlight = 20 + r.IntN(20)
	}
	if inRealTime {
		s.wait = min(s.wait, time.Millisecond)
	}
	lease := time.Second
	if inRealTime {
		lease = 5 * time.Millisecond
	}
	s.ch = &altered{Channel: memory.New(memory.Lease(lease), memory.Capacity(100+r.IntN(400)))}
	s.ch.promise = func(g *event.Guarantees) {
		g.GivesBack = g.GivesBack && seed%3 > 0
		g.KeepsFailures = g.KeepsFailures && seed%4 > 0
	}
	s.ch.consumer = s.unreliable
	s.ch.producer = func(topic string, p event.Producer) (event.Producer, error) {
		if topic != "echo" {
			return p, nil
		}
		var calls atomic.Int64
		return produceFunc(func(ctx context.Context, es ...event.Event) error {
			if s.chance(5, "produce", calls.Add(1)) == 0 {
				return errBoom
			}
			return p.Produce(ctx, es...)
		}), nil
	}
	return s
}

// unreliable is a consumer whose settlements don't get through now and then, and whose
// dead letters find no room.
func (s *stress) unreliable(_ event.Subscription, c event.Consumer) (event.Consumer, error) {
	var calls atomic.Int64
	return settler{c, func(ctx context.Context, all []event.Settlement) error {
		n := calls.Add(1)
		if s.chance(6, "settle", n) == 0 {
			return errBoom
		}
		full := &event.SettleError{Failed: make(map[int]error)}
		var rest []event.Settlement
		var at []int
		for i, x := range all {
			if x.Kind == event.SettleDead && s.chance(2, "room", n, i) == 0 {
				full.Failed[i] = event.ErrFull
				continue
			}
			rest, at = append(rest, x), append(at, i)
		}
		err := c.Settle(ctx, rest)
		some, _ := errors.AsType[*event.SettleError](err)
		if err != nil && some == nil {
			return err
		}
		for i := range full.Failed {
			c.Hold(all[i].Token, 1)
		}
		if some != nil {
			for i, err := range some.Failed {
				full.Failed[at[i]] = err
			}
		}
		if len(full.Failed) == 0 {
			return nil
		}
		return full
	}}, nil
}

// publish publishes events of all types, of some keys.
func (s *stress) publish(r *rand.Rand, from, n, keys int) {
	last := make(map[string]string)
	for id := range s.before {
		last[keyOf(id)] = ""
	}
	for i := from; i < from+n; i++ {
		key := ""
		if k := r.IntN(keys + 1); k > 0 {
			key = fmt.Sprint("k", k)
		}
		id := fmt.Sprint(key, "/", i)
		var v any
		switch r.IntN(10) {
		case 0, 1:
			v = Solo{id}
		case 2:
			v = Other{id}
		case 3, 4, 5:
			v = BulkB{id}
		default:
			v = BulkA{id}
		}
		s.mu.Lock()
		s.before[id] = ""
		if key != "" {
			s.before[id] = last[key]
			last[key] = id
		}
		s.mu.Unlock()
		if _, skipped := v.(Other); skipped {
			s.mu.Lock()
			s.final[id] = true // it may be skipped at any time after the one before it
			s.mu.Unlock()
		}
		for { // the member may be leaving
			s.mu.Lock()
			b := s.members[len(s.members)-1].b
			s.mu.Unlock()
			err := b.Publish(s.t.Context(), v, bus.ID(id), bus.Key(key))
			if err == nil {
				break
			}
			if some, ok := errors.AsType[*event.ProduceError](err); ok && len(some.Failed) > 0 && some.Failed[0].Maybe {
				break
			}
			s.pause(time.Millisecond)
		}
		if r.IntN(10) == 0 {
			s.pause(time.Duration(r.IntN(300)) * time.Millisecond)
		}
	}
}

// run publishes, while members come and go, and drains.
func (s *stress) run(n int) {
	r := rand.New(rand.NewPCG(s.seed, 2))
	keys := 1 + r.IntN(12)
	s.member()
	s.member()
	const phases = 5
	for phase := range phases {
		s.publish(r, phase*n, n, keys)
		if !s.real {
			s.pause(time.Duration(r.IntN(5000)) * time.Millisecond)
		}
		s.member()
		for _, m := range s.members[:len(s.members)-1] {
			if !m.gone && r.IntN(2) == 0 {
				s.leave(m, r.IntN(3))
			}
		}
	}
	if err := s.ch.Quiet(s.t.Context()); err != nil {
		s.failf("not quiet: %v", err)
	}
	for _, m := range s.members {
		if m.gone {
			continue
		}
		if err := m.b.Drain(s.t.Context()); err != nil {
			s.failf("drain: %v", err)
		}
		if left := bus.LeftInHand(m.b); left != "" {
			s.failf("left: %s", left)
		}
		if s.inFlight > 0 && bus.MostInHand(m.b) > 2*s.inFlight+512 {
			s.failf("%d items for a window of %d", bus.MostInHand(m.b), s.inFlight)
		}
	}
	s.check()
}

// check looks at what became of all.
func (s *stress) check() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.before {
		if s.settled[id] == "" {
			s.failf("event %s was not settled", id)
		}
		if s.echoed[id] && !s.good[id] && strings.HasPrefix(s.settled[id], "dead") {
			s.failf("event %s is dead, and what it published is out", id)
		}
		if s.settled[id] == "ack ok" && s.chance(3, "echo", id) == 0 && !s.echoed[id] {
			s.failf("event %s is handled, and what it published is not out", id)
		}
	}
	if err := s.ch.Channel.Close(context.Background()); err != nil {
		s.failf("close: %v", err)
	}
}

func TestBatchStressInVirtualTime(t *testing.T) {
	seeds := 300
	if raceEnabled {
		seeds = 40
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { newStress(t, uint64(seed), false).run(60) })
		if t.Failed() {
			return
		}
	}
}

func TestBatchStressInRealTime(t *testing.T) {
	for seed := range 3 {
		newStress(t, uint64(seed), true).run(300)
		if t.Failed() {
			return
		}
	}
}
