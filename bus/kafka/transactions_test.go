package kafka_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// transacting returns the configuration for a real broker, with topics of this test.
func transacting(tb testing.TB) (cfg kafka.Config, name string) {
	tb.Helper()
	return kafka.Config{
		Brokers: kafkatest.Brokers(tb), SessionTimeout: session, Transactions: true, TransactionTimeout: 3 * time.Second,
		Topics: kafka.TopicDefaults{Partitions: 6},
	}, fmt.Sprintf("eos-%d", time.Now().UnixNano())
}

const keys = 97

// numbered is the n-th event of a test.
func numbered(n int) event.Event {
	return event.New("/test", "numbered", binary.BigEndian.AppendUint32(nil, uint32(n))).
		WithID(fmt.Sprint(n)).WithKey(fmt.Sprint("key ", n%keys))
}

func fill(tb testing.TB, cfg kafka.Config, topic string, events int) {
	tb.Helper()
	ch := kafka.New(cfg)
	defer func() { _ = ch.Close(context.Background()) }()
	p, err := ch.Producer(tb.Context(), topic)
	require.NoError(tb, err)
	for n := 0; n < events; n += 1000 {
		var es []event.Event
		for i := n; i < min(n+1000, events); i++ {
			es = append(es, numbered(i))
		}
		require.NoError(tb, p.Produce(tb.Context(), es...))
	}
}

// reader reads committed events and keeps count of what they are about.
type reader struct {
	cl   *kgo.Client
	seen map[int]int
	last map[int]int // by key
	bad  []string
}

func newReader(tb testing.TB, cfg kafka.Config, topic string) *reader {
	tb.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	require.NoError(tb, err)
	tb.Cleanup(cl.Close)
	return &reader{cl: cl, seen: make(map[int]int), last: make(map[int]int)}
}

// read reads until there are so many different events, and then what else comes.
func (r *reader) read(ctx context.Context, number func(*kgo.Record) int, events int, silence time.Duration) {
	for ctx.Err() == nil {
		patience := time.Hour
		if len(r.seen) == events {
			patience = silence
		}
		wait, cancel := context.WithTimeout(ctx, patience)
		fetches := r.cl.PollFetches(wait)
		cancel()
		if fetches.Empty() && len(r.seen) == events {
			return
		}
		fetches.EachRecord(func(rec *kgo.Record) {
			n := number(rec)
			r.seen[n]++
			if before, known := r.last[n%keys]; known && n <= before {
				r.bad = append(r.bad, fmt.Sprintf("%d after %d", n, before))
			}
			r.last[n%keys] = n
		})
	}
}

// once asserts that every event is there once, in the order of its key.
func (r *reader) once(tb testing.TB, events int) {
	tb.Helper()
	twice := 0
	for _, times := range r.seen {
		if times > 1 {
			twice++
		}
	}
	require.Len(tb, r.seen, events, "events are missing")
	require.Zero(tb, twice, "events are there more than once")
	require.Empty(tb, r.bad, "out of order")
}

func first(rec *kgo.Record) int { return int(binary.BigEndian.Uint32(rec.Value)) }

// Members that vanish at any point of a transaction leave nothing twice, nothing out,
// and no key out of order, for those who read what is committed.
func TestTransactionsSurviveCrashes(t *testing.T) {
	kafkatest.Long(t)
	t.Parallel()
	for _, protocol := range []struct {
		name       string
		serverSide bool
	}{{"classic", false}, {"server side", true}} {
		t.Run(protocol.name, func(t *testing.T) {
			t.Parallel()
			cfg, name := transacting(t)
			cfg.ServerSide = protocol.serverSide
			if cfg.ServerSide {
				brief(t, cfg, name+"-g")
			}
			survive(t, cfg, name)
		})
	}
}

// brief gives a group a session timeout that the broker decides.
func brief(t *testing.T, cfg kafka.Config, group string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	require.NoError(t, err)
	defer cl.Close()
	for name, value := range map[string]string{"consumer.session.timeout.ms": "6000", "consumer.heartbeat.interval.ms": "500"} {
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
		c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		c.Name, c.Value = name, &value
		r.Configs = append(r.Configs, c)
		req.Resources = append(req.Resources, r)
		res, err := req.RequestWith(t.Context(), cl)
		require.NoError(t, err)
		require.Zero(t, res.Resources[0].ErrorCode, "%s", value)
	}
}

func survive(t *testing.T, cfg kafka.Config, name string) {
	t.Helper()
	const events = 20_000
	fill(t, cfg, name+"-in", events)
	ctx, cancel := context.WithTimeout(t.Context(), 450*time.Second)
	defer cancel()
	r := newReader(t, cfg, name+"-out")

	points := []string{"begun", "produced", "offsets", "end", "ended", "random", "produced", "offsets", "ended"}
	var mu sync.Mutex
	crashes := make(map[string]int)
	working, stop := context.WithCancel(ctx)
	var members sync.WaitGroup
	for i := range 3 {
		members.Go(func() {
			mine := points[i*len(points)/3 : (i+1)*len(points)/3]
			for working.Err() == nil {
				m, err := newCopier(working, cfg, name, 1+rand.IntN(60))
				if err != nil {
					continue
				}
				if len(mine) > 0 {
					point, after := mine[0], 2+rand.IntN(6)
					mine = mine[1:]
					kafka.AtTransact(m.c, func(at string) {
						if at != point && point != "random" || m.dead.Load() {
							return
						}
						if after--; after == 0 {
							mu.Lock()
							crashes[point]++
							mu.Unlock()
							m.crash()
						}
					})
				}
				m.run(working)
			}
		})
	}
	r.read(ctx, first, events, 3*time.Second)
	stop()
	members.Wait()
	t.Log("crashes:", crashes)
	r.once(t, events)
	require.Len(t, crashes, 6, "each point")
}

// A member that the group has thrown out can't commit what it has in a transaction.
func TestTransactionsOfAZombieAreRefused(t *testing.T) {
	kafkatest.Long(t)
	t.Parallel()
	cfg, name := transacting(t)
	for _, point := range []string{"begun", "produced"} {
		t.Run(point, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Second)
			defer cancel()
			cfg, name := cfg, name+point
			cfg.TransactionTimeout = 30 * time.Second // that is not what ends it
			fill(t, cfg, name+"-in", 100)
			zombie, err := newCopier(ctx, cfg, name, 100)
			require.NoError(t, err)
			reached, goOn := make(chan struct{}), make(chan struct{})
			var stopped sync.Once
			kafka.AtTransact(zombie.c, func(at string) {
				if at == point {
					stopped.Do(func() {
						close(reached)
						<-goOn
					})
				}
			})
			working, stop := context.WithCancel(ctx)
			var members sync.WaitGroup
			members.Go(func() { zombie.run(working) })
			<-reached
			member := kafka.Member(zombie.c)
			evict(t, cfg, name+"-g", member)
			other, err := newCopier(ctx, cfg, name, 100)
			require.NoError(t, err)
			members.Go(func() { other.run(working) })
			awaitAll(ctx, t, cfg, name+"-g", member)
			close(goOn)
			r := newReader(t, cfg, name+"-out")
			r.read(ctx, first, 100, 5*time.Second)
			stop()
			members.Wait()
			r.once(t, 100)
		})
	}
}

// evict throws a member out of its group.
func evict(t *testing.T, cfg kafka.Config, group, member string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	require.NoError(t, err)
	defer cl.Close()
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	m := kmsg.NewLeaveGroupRequestMember()
	m.MemberID = member
	req.Members = append(req.Members, m)
	res, err := req.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	require.Zero(t, res.ErrorCode)
	require.Zero(t, res.Members[0].ErrorCode)
}

// awaitAll waits until a group is stable without a member.
func awaitAll(ctx context.Context, t *testing.T, cfg kafka.Config, group, without string) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cfg.Brokers...))
	require.NoError(t, err)
	defer cl.Close()
	adm := kadm.NewClient(cl)
	for ctx.Err() == nil {
		groups, err := adm.DescribeGroups(ctx, group)
		require.NoError(t, err)
		g := groups[group]
		there := slices.ContainsFunc(g.Members, func(m kadm.DescribedGroupMember) bool { return m.MemberID == without })
		if g.State == "Stable" && !there && len(g.Members) > 0 {
			return
		}
		<-time.After(100 * time.Millisecond)
	}
}

type (
	arrived struct{ N int }
	shipped struct{ N int }
)

func (a arrived) EventKey() string { return fmt.Sprint(a.N % keys) }
func (s shipped) EventKey() string { return fmt.Sprint(s.N % keys) }

// Through the bus: a handler's publishes and its ack are one, whoever vanishes.
func TestTransactionsOfBusesSurviveCrashes(t *testing.T) {
	kafkatest.Long(t)
	t.Parallel()
	cfg, name := transacting(t)
	const events = 5000
	ctx, cancel := context.WithTimeout(t.Context(), 450*time.Second)
	defer cancel()
	in, out := bus.Topic(name+"-in"), name+"-out"
	channel := kafka.New(cfg)
	publisher := bus.New(bus.Config{App: name, Channel: channel})
	require.NoError(t, publisher.Start(ctx))
	producer, err := channel.Producer(ctx, name+"-in")
	require.NoError(t, err)
	for n := 0; n < events; { // one transaction each would take a minute
		var chunk []event.Event
		for range 500 {
			_, e, err := publisher.Prepare(ctx, arrived{n}, in)
			require.NoError(t, err)
			chunk = append(chunk, e)
			n++
		}
		require.NoError(t, producer.Produce(ctx, chunk...))
	}
	shipper := func(crashAt string) (stop func()) {
		ch := kafka.New(cfg)
		cuts := kafka.NewCuts(ch)
		spy := &spying{Channel: ch}
		b := bus.New(bus.Config{App: name, Channel: spy})
		bus.Subscribe(b, "shipper", func(ctx context.Context, a arrived) error {
			return b.Publish(ctx, shipped(a), bus.Topic(out))
		}, in, bus.Workers(4))
		crashed := make(chan struct{})
		var transactions atomic.Int32
		spy.opened = func(c event.Consumer) {
			kafka.AtTransact(c, func(at string) {
				if at == crashAt && transactions.Add(1) == 20 {
					cuts.Crash(c)
					close(crashed)
				}
			})
		}
		require.NoError(t, b.Start(ctx))
		if crashAt != "" {
			select {
			case <-crashed:
			case <-ctx.Done():
				t.Error("no crash at", crashAt)
			}
		}
		return func() {
			ended, cancel := context.WithCancel(context.Background())
			cancel()
			_ = b.Shutdown(ended)
		}
	}
	var stops []func()
	for _, point := range []string{"produced", "offsets", "ended", ""} {
		stops = append(stops, shipper(point))
	}
	r := newReader(t, cfg, out)
	number := func(rec *kgo.Record) int {
		var n int
		_, err := fmt.Sscanf(string(rec.Value), `{"N":%d}`, &n)
		require.NoError(t, err)
		return n
	}
	r.read(ctx, number, events, 3*time.Second)
	for _, stop := range stops {
		stop()
	}
	require.NoError(t, publisher.Shutdown(context.Background()))
	r.once(t, events)
}

// spying shows the consumers of a channel.
type spying struct {
	*kafka.Channel

	opened func(event.Consumer)
}

func (s *spying) Consumer(ctx context.Context, sub event.Subscription) (event.Consumer, error) {
	c, err := s.Channel.Consumer(ctx, sub)
	if err == nil {
		s.opened(c)
	}
	return c, err
}

// What copying 500 events a Settle costs, with transactions and without.
func BenchmarkCopy(b *testing.B) {
	for _, transactions := range []bool{false, true} {
		b.Run(fmt.Sprintf("transactions=%v", transactions), func(b *testing.B) {
			cfg, name := transacting(b)
			cfg.Transactions = transactions
			events := 100_000
			fill(b, cfg, name+"-in", events)
			for b.Loop() {
				copyAll(b, cfg, name, events)
			}
		})
	}
}

func copyAll(b *testing.B, cfg kafka.Config, name string, events int) {
	b.Helper()
	m, err := newCopier(b.Context(), cfg, name, 500)
	require.NoError(b, err)
	defer m.close()
	buf := make([]event.Delivery, 500)
	batch := make([]event.Event, 0, 500)
	var began time.Time
	done := 0
	for done < events {
		n, err := m.c.Receive(b.Context(), buf)
		require.NoError(b, err)
		if done == 0 {
			began = time.Now()
		}
		acks := make([]event.Settlement, 0, n)
		batch = batch[:0]
		for _, d := range buf[:n] {
			lease, ok := m.c.Begin(d.Token)
			require.True(b, ok)
			if cfg.Transactions {
				require.NoError(b, m.out.Produce(event.WithCollected(lease), d.Event))
			}
			batch = append(batch, d.Event)
			acks = append(acks, event.Ack(d.Token))
		}
		if !cfg.Transactions {
			require.NoError(b, m.out.Produce(b.Context(), batch...))
		}
		require.NoError(b, m.c.Settle(b.Context(), acks))
		done += n
	}
	b.ReportMetric(float64(events)/time.Since(began).Seconds(), "events/s")
	b.ReportMetric(0, "ns/op")
}
