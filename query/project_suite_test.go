package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
	"github.com/leat-go/leat/internal/killtest"
	"github.com/leat-go/leat/query"
)

// TestProjectInMemory runs the suite in memory: the other line is in TestProjectOnKafka.
func TestProjectInMemory(t *testing.T) {
	projectSuite(t, synctest.Test, func(*testing.T, string) func() event.Channel {
		ch := memory.New(memory.Encode(), memory.Retain(10_000))
		return func() event.Channel { return unclosed{ch} }
	})
}

// TestProjectOnKafka runs it on a real broker.
func TestProjectOnKafka(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	direct := func(t *testing.T, f func(*testing.T)) { t.Helper(); f(t) }
	projectSuite(t, direct, func(t *testing.T, name string) func() event.Channel {
		t.Helper()
		killtest.RemoveAtEnd(t, brokers, name)
		return func() event.Channel {
			return kafka.New(kafka.Config{Brokers: brokers, SessionTimeout: 6 * time.Second})
		}
	})
}

// unclosed is a channel of several Buses, none of which closes it.
type unclosed struct{ *memory.Channel }

func (unclosed) Close(context.Context) error { return nil }

func projectSuite(t *testing.T, in func(*testing.T, func(*testing.T)), open func(t *testing.T, name string) func() event.Channel) {
	t.Helper()
	for _, c := range []struct {
		name string
		run  func(*place)
	}{
		{"members", testMembers},
		{"restart", testRestart},
		{"letters", testLetters},
		{"late", testLate},
		{"rebuild", testRebuild},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, func(t *testing.T) {
				t.Helper()
				p := &place{t: t, name: "q-" + strings.ToLower(event.NewID()), mem: query.NewMemory(query.MemoryConfig{}), want: map[string]int{}}
				p.sums = query.NewTable[string, int](p.mem)
				p.open = open(t, p.name)
				p.ensure()
				c.run(p)
			})
		})
	}
}

// place is where a test of the suite runs: a topic of its own, and what should come of it.
type place struct {
	t    *testing.T
	open func() event.Channel
	name string
	mem  *query.Memory
	sums *query.Table[string, int]
	from []bus.SubscribeOption
	fail func(ctx context.Context, e event.Event) error

	mu   sync.Mutex
	n    int
	want map[string]int
}

// ensure makes the topic, with several lanes where the channel has them.
func (p *place) ensure() {
	p.t.Helper()
	ch := p.open()
	made, ok := ch.(event.Provisioner)
	require.True(p.t, ok)
	require.NoError(p.t, made.EnsureTopic(p.t.Context(), event.TopicSpec{Name: p.name, Partitions: 4}))
	require.NoError(p.t, ch.Close(p.t.Context()))
}

// member starts a Bus with the projection.
func (p *place) member() (*bus.Bus, *query.Projection) {
	p.t.Helper()
	b := bus.New(bus.Config{App: p.name, Channel: p.open()})
	pr := query.Project(b, "sums", p.mem)
	query.ApplyRaw(pr, []string{"added"}, p.add, append(p.from, bus.Workers(8), bus.Topic(p.name),
		bus.Retry(bus.Backoff{First: 10 * time.Millisecond, Max: 100 * time.Millisecond, Attempts: 100}))...)
	require.NoError(p.t, b.Start(p.t.Context()))
	p.t.Cleanup(func() { require.NoError(p.t, b.Shutdown(context.WithoutCancel(p.t.Context()))) })
	return b, pr
}

func (p *place) add(ctx context.Context, e event.Event) error {
	if p.fail != nil {
		if err := p.fail(ctx, e); err != nil {
			return err
		}
	}
	var a added
	if err := json.Unmarshal(e.Data(), &a); err != nil {
		return err
	}
	for _, key := range []string{a.Key, total} {
		n, _ := p.sums.Get(ctx, key)
		if err := p.sums.Put(ctx, key, n+a.N); err != nil {
			return err
		}
	}
	return nil
}

// publish publishes one that counts, and returns its id.
func (p *place) publish(b *bus.Bus, opts ...bus.PublishOption) string {
	p.t.Helper()
	p.mu.Lock()
	p.n++
	a := added{fmt.Sprint("k", p.n%7), p.n}
	id := fmt.Sprint("e-", p.n)
	p.want[a.Key] += a.N
	p.want[total] += a.N
	p.mu.Unlock()
	data, err := json.Marshal(a)
	require.NoError(p.t, err)
	e := event.New("/test", "added", data).WithID(id).WithKey(a.Key)
	require.NoError(p.t, b.Publish(p.t.Context(), e, append(opts, bus.Topic(p.name))...))
	return id
}

func (p *place) wait(pr *query.Projection, id string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
	defer cancel()
	require.NoError(p.t, pr.Wait(ctx, id))
}

// is fails unless the model has what a straightforward fold of all events has.
func (p *place) is() {
	p.t.Helper()
	require.Equal(p.t, p.want, maps.Collect(p.sums.All(p.t.Context())))
}

// Members share the work; each waits for what any of them applies.
func testMembers(p *place) {
	a, onA := p.member()
	_, onB := p.member()
	for range 5 {
		id := ""
		for range 40 {
			id = p.publish(a)
		}
		require.NoError(p.t, a.Publish(p.t.Context(), event.New("/test", "nobody's", nil), bus.Topic(p.name)))
		p.wait(onB, id)
		p.wait(onA, id)
		p.is()
	}
}

// Where a member ends, with events in hand and others delayed, the next goes on.
func testRestart(p *place) {
	b, _ := p.member()
	p.fail = func(context.Context, event.Event) error {
		if event.NewID()[25]%4 == 0 { // now and then
			return errTest
		}
		return nil
	}
	late := p.publish(b, bus.Delay(2*time.Second))
	for range 3 {
		for range 50 {
			p.publish(b)
		}
		ended, cancel := context.WithCancel(p.t.Context())
		cancel()
		_ = b.Shutdown(ended)
		b, _ = p.member()
	}
	b, pr := p.member()
	p.wait(pr, p.publish(b))
	p.wait(pr, late)
	p.is()
}

// A dead letter holds nobody up, and is applied when it is driven again, once.
func testLetters(p *place) {
	var broken atomic.Bool
	broken.Store(true)
	p.fail = func(_ context.Context, e event.Event) error {
		if broken.Load() && strings.HasSuffix(e.ID(), "3") {
			return event.Permanent(errTest)
		}
		return nil
	}
	b, pr := p.member()
	id := ""
	for range 25 {
		id = p.publish(b)
	}
	p.wait(pr, id)
	broken.Store(false)
	n := 0
	for d, err := range b.DeadLetters(p.t.Context(), "sums") {
		require.NoError(p.t, err)
		require.NoError(p.t, b.Redrive(p.t.Context(), d))
		n++
	}
	require.Equal(p.t, 3, n)
	for _, id := range []string{"e-3", "e-13", "e-23"} {
		p.wait(pr, id)
	}
	p.is()
}

// A group that begins late owes nobody what was before.
func testLate(p *place) {
	pub := bus.New(bus.Config{App: p.name + "-p", Channel: p.open()})
	require.NoError(p.t, pub.Start(p.t.Context()))
	p.t.Cleanup(func() { require.NoError(p.t, pub.Shutdown(context.WithoutCancel(p.t.Context()))) })
	for range 20 {
		p.publish(pub)
	}
	clear(p.want)
	p.from = []bus.SubscribeOption{bus.From(event.Newest())}
	_, pr := p.member()
	for range 10 {
		p.wait(pr, p.publish(pub))
	}
	p.is()
}

// A rebuild has all, while events come and go.
func testRebuild(p *place) {
	b, pr := p.member()
	for range 200 {
		p.publish(b)
	}
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(p.t.Context(), 90*time.Second)
	defer cancel()
	go func() { done <- pr.Rebuild(ctx) }()
	var err error
	for running := true; running; {
		select {
		case err = <-done:
			running = false
		default:
			p.wait(pr, p.publish(b))
		}
	}
	require.NoError(p.t, err)
	p.is()
	p.wait(pr, p.publish(b))
	p.is()
}

// What waits in the delay topic when another member takes over isn't taken for done.
func TestProjectAndDelayTopics(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	p := &place{t: t, name: "q-" + strings.ToLower(event.NewID()), mem: query.NewMemory(query.MemoryConfig{}), want: map[string]int{}}
	killtest.RemoveAtEnd(t, brokers, p.name)
	p.sums = query.NewTable[string, int](p.mem)
	p.open = func() event.Channel {
		return kafka.New(kafka.Config{Brokers: brokers, SessionTimeout: 6 * time.Second, DelayTopics: true})
	}
	p.ensure()
	pub := bus.New(bus.Config{App: p.name + "-p", Channel: p.open()})
	require.NoError(t, pub.Start(t.Context()))
	for range 20 { // they aren't the group's
		p.publish(pub)
	}
	require.NoError(t, pub.Shutdown(t.Context()))
	clear(p.want)
	p.from = []bus.SubscribeOption{bus.From(event.Newest())}
	b, _ := p.member()
	late := p.publish(b, bus.Delay(8*time.Second))
	for range 20 {
		p.publish(b)
	}
	applied := func() bool {
		n, _ := p.sums.Get(t.Context(), total)
		return n == p.want[total]-21 // all but the late one
	}
	require.Eventually(t, applied, time.Minute, 10*time.Millisecond)
	require.NoError(t, b.Shutdown(t.Context()))
	b, pr := p.member()
	p.wait(pr, p.publish(b))
	p.wait(pr, late)
	p.is()
}
