package bench

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

const kafkaEnv = "LEAT_KAFKA"

// KafkaScenarios returns those on the brokers that LEAT_KAFKA names; none without.
func KafkaScenarios() []Scenario {
	brokers := os.Getenv(kafkaEnv)
	if brokers == "" {
		return nil
	}
	var all []Scenario
	for _, size := range []int{256, 1024} {
		for _, partitions := range []int{4, 16} {
			k := Kafka{Brokers: strings.Split(brokers, ","), Size: size, Partitions: partitions}
			all = append(all, k.scenarios()...)
		}
	}
	return all
}

// Kafka says what is sent through brokers.
type Kafka struct {
	Brokers    []string
	Size       int // of an event's data, bytes
	Partitions int
}

// lanes is how many goroutines handle events, those of a key one after the other.
const lanes = 32

// callers is how many goroutines produce, one event in a call.
const callers = 64

func (k Kafka) scenarios() []Scenario {
	name := func(what string) string { return fmt.Sprintf("kafka-%s-%d-%d", what, k.Size, k.Partitions) }
	about := fmt.Sprintf("%d bytes, %d partitions, ", k.Size, k.Partitions)
	return []Scenario{
		{name("produce"), about + "one event in a call, 64 callers", []Side{
			{"leat", Leat, 0, k.produceLeat},
			{"kgo", Floor, 1 / 0.9, k.produceKgo},
			{"watermill", Peer, 0, k.produceWatermill},
		}},
		{name("consume"), about + "received and acked by one goroutine", []Side{
			{"leat", Leat, 0, func() (*Stream, error) { return k.consumeLeat(0) }},
			{"kgo-headers", Floor, 1 / 0.85, func() (*Stream, error) { return k.consumeKgo(0, true) }},
			{"kgo", Floor, 0, func() (*Stream, error) { return k.consumeKgo(0, false) }},
			{"watermill", Peer, 0, k.consumeWatermill},
		}},
		{name("lanes"), about + "handled by 32 goroutines, each key by one", []Side{
			{"leat", Leat, 0, func() (*Stream, error) { return k.consumeLeat(lanes) }},
			{"kgo-headers", Floor, 1 / 0.7, func() (*Stream, error) { return k.consumeKgo(lanes, true) }},
			{"kgo", Floor, 0, func() (*Stream, error) { return k.consumeKgo(lanes, false) }},
		}},
	}
}

// topic makes one that nobody has used.
func (k Kafka) topic() (string, func(), error) {
	cl, err := kgo.NewClient(kgo.SeedBrokers(k.Brokers...))
	if err != nil {
		return "", nil, err
	}
	name := "bench-" + strings.ToLower(event.NewID())
	adm := kadm.NewClient(cl)
	if _, err := adm.CreateTopic(context.Background(), int32(k.Partitions), -1, nil, name); err != nil {
		cl.Close()
		return "", nil, err
	}
	return name, func() {
		_, _ = adm.DeleteTopics(context.Background(), name, name+"."+name+".dead", name+"."+name+".redrive")
		cl.Close()
	}, nil
}

func (k Kafka) event(i int, data []byte) event.Event {
	return event.Attributes{Source: source, Type: placed, Key: keys[i%len(keys)], Data: data}.Event()
}

// each calls send with the numbers up to n, from as many goroutines as there are
// callers.
func each(n int, send func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	errs := make(chan error, callers)
	for range callers {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := send(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (k Kafka) produceLeat() (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	ch := kafka.New(kafka.Config{Brokers: k.Brokers})
	p, err := ch.Producer(ctx, topic)
	if err != nil {
		return nil, err
	}
	data := make([]byte, k.Size)
	return &Stream{
		Run:   func(n int) error { return each(n, func(i int) error { return p.Produce(ctx, k.event(i, data)) }) },
		Close: func() error { defer remove(); return ch.Close(ctx) },
	}, nil
}

// client returns a raw client with the settings of leat's.
func (k Kafka) client(opts ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(opts,
		kgo.SeedBrokers(k.Brokers...), kgo.ProducerLinger(0),
		kgo.ProducerBatchCompression(kgo.Lz4Compression(), kgo.NoCompression()))...)
}

// record is what leat writes for an event, so that both write the same bytes.
func record(topic string, e event.Event) (*kgo.Record, error) {
	hs, err := event.AppendHeaders(nil, event.KafkaHeaders, e)
	if err != nil {
		return nil, err
	}
	r := &kgo.Record{Topic: topic, Key: []byte(e.Key()), Value: e.Data()}
	for _, h := range hs {
		r.Headers = append(r.Headers, kgo.RecordHeader(h))
	}
	return r, nil
}

func (k Kafka) produceKgo() (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	cl, err := k.client()
	if err != nil {
		return nil, err
	}
	data := make([]byte, k.Size)
	return &Stream{
		Run: func(n int) error {
			return each(n, func(i int) error {
				r, err := record(topic, k.event(i, data))
				if err != nil {
					return err
				}
				return cl.ProduceSync(context.Background(), r).FirstErr()
			})
		},
		Close: func() error { defer remove(); cl.Close(); return nil },
	}, nil
}

// fill produces n events as fast as it goes.
func (k Kafka) fill(topic string, n int) error {
	cl, err := k.client()
	if err != nil {
		return err
	}
	defer cl.Close()
	data := make([]byte, k.Size)
	var failed atomic.Pointer[error]
	for i := range n {
		r, err := record(topic, k.event(i, data))
		if err != nil {
			return err
		}
		cl.Produce(context.Background(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
		})
	}
	if err := cl.Flush(context.Background()); err != nil {
		return err
	}
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// stopwatch measures from the moment when a group has its member: it takes its time to
// form. What the client fetches while nobody asks counts, for it was not there before.
type stopwatch struct {
	start chan time.Time
	took  time.Duration
}

// watch starts when a group has a member that has partitions.
func (w *stopwatch) watch(ctx context.Context, brokers []string, group string) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	if err != nil {
		return err
	}
	w.start = make(chan time.Time, 1)
	go func() {
		defer cl.Close()
		for range time.Tick(time.Millisecond) {
			groups, err := kadm.NewClient(cl).DescribeGroups(ctx, group)
			if err == nil && groups[group].State == "Stable" {
				w.start <- time.Now()
				return
			}
		}
	}()
	return nil
}

func (w *stopwatch) ended() {
	end := time.Now()
	w.took = end.Sub(<-w.start)
}

func (w *stopwatch) measured() time.Duration { return w.took }

// consumeLeat receives and acks: in one goroutine, or handled by as many as lanes.
func (k Kafka) consumeLeat(lanes int) (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	ch := kafka.New(kafka.Config{Brokers: k.Brokers})
	watch := new(stopwatch)
	return &Stream{
		Prepare: func(n int) error {
			if err := ch.EnsureGroup(ctx, topic, event.Oldest(), topic); err != nil { // a group's first start makes its topics
				return err
			}
			return k.fill(topic, n) //nolint:contextcheck // nobody ends it
		},
		Run: func(n int) error {
			if err := watch.watch(ctx, k.Brokers, topic); err != nil {
				return err
			}
			c, err := ch.Consumer(ctx, event.Subscription{Group: topic, Topics: []string{topic}})
			if err != nil {
				return err
			}
			if lanes == 0 {
				err = receive(ctx, c, n)
			} else {
				err = receiveLanes(ctx, c, n, lanes)
			}
			watch.ended()
			if err != nil {
				return err
			}
			return c.Close(ctx)
		},
		Measured: watch.measured,
		Close:    func() error { defer remove(); return ch.Close(ctx) },
	}, nil
}

func receive(ctx context.Context, c event.Consumer, n int) error {
	buf := make([]event.Delivery, 512)
	acks := make([]event.Settlement, 0, len(buf))
	for done := 0; done < n; {
		got, err := c.Receive(ctx, buf)
		if err != nil {
			return err
		}
		acks = acks[:0]
		for _, d := range buf[:got] {
			acks = append(acks, event.Ack(d.Token))
		}
		if err := c.Settle(ctx, acks); err != nil {
			return err
		}
		done += got
	}
	return nil
}

// receiveLanes lets goroutines handle what is received; one more settles what they
// have done.
func receiveLanes(ctx context.Context, c event.Consumer, n, lanes int) error {
	to := make([]chan event.Delivery, lanes)
	done := make(chan event.Token, 1024)
	var wg sync.WaitGroup
	for i := range to {
		to[i] = make(chan event.Delivery, 64)
		wg.Go(func() {
			for d := range to[i] {
				if _, ok := c.Begin(d.Token); ok {
					done <- d.Token
				}
			}
		})
	}
	settled := make(chan error, 1)
	go func() {
		acks := make([]event.Settlement, 0, cap(done))
		for left := n; left > 0; {
			acks = append(acks[:0], event.Ack(<-done))
			for len(done) > 0 && len(acks) < cap(acks) {
				acks = append(acks, event.Ack(<-done))
			}
			if err := c.Settle(ctx, acks); err != nil {
				settled <- err
				return
			}
			left -= len(acks)
		}
		settled <- nil
	}()
	buf := make([]event.Delivery, 512)
	for sent := 0; sent < n; {
		got, err := c.Receive(ctx, buf)
		if err != nil {
			return err
		}
		for _, d := range buf[:got] {
			to[hash(d.Event.Key())%uint32(lanes)] <- d
		}
		sent += got
	}
	for _, l := range to {
		close(l)
	}
	wg.Wait()
	return <-settled
}

// hash is FNV-1a.
func hash(key string) uint32 {
	h := uint32(2166136261)
	for i := range len(key) {
		h = (h ^ uint32(key[i])) * 16777619
	}
	return h
}

// consumeKgo polls in a group that commits by itself. With headers it reads of each
// record what an event has: attributes as strings, and the time.
func (k Kafka) consumeKgo(lanes int, headers bool) (*Stream, error) {
	topic, remove, err := k.topic()
	if err != nil {
		return nil, err
	}
	watch := new(stopwatch)
	var held atomic.Int64
	handle := func(r *kgo.Record) {
		if headers {
			held.Add(int64(readHeaders(r)))
		}
	}
	return &Stream{
		Prepare: func(n int) error { return k.fill(topic, n) },
		Run: func(n int) error {
			if err := watch.watch(context.Background(), k.Brokers, topic); err != nil {
				return err
			}
			cl, err := k.client(kgo.ConsumerGroup(topic), kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
			if err != nil {
				return err
			}
			defer cl.Close()
			if lanes == 0 {
				poll(cl, n, handle)
			} else {
				pollLanes(cl, n, lanes, handle)
			}
			watch.ended()
			return cl.CommitUncommittedOffsets(context.Background())
		},
		Measured: watch.measured,
		Close:    func() error { remove(); return nil },
	}, nil
}

func poll(cl *kgo.Client, n int, handle func(*kgo.Record)) {
	for done := 0; done < n; {
		fetches := cl.PollFetches(context.Background())
		fetches.EachRecord(handle)
		done += fetches.NumRecords()
	}
}

func pollLanes(cl *kgo.Client, n, lanes int, handle func(*kgo.Record)) {
	to := make([]chan *kgo.Record, lanes)
	var wg sync.WaitGroup
	for i := range to {
		to[i] = make(chan *kgo.Record, 64)
		wg.Go(func() {
			for r := range to[i] {
				handle(r)
			}
		})
	}
	for sent := 0; sent < n; {
		fetches := cl.PollFetches(context.Background())
		fetches.EachRecord(func(r *kgo.Record) { to[hash(string(r.Key))%uint32(lanes)] <- r })
		sent += fetches.NumRecords()
	}
	for _, l := range to {
		close(l)
	}
	wg.Wait()
}

// readHeaders reads what an event has in headers.
func readHeaders(r *kgo.Record) (n int) {
	var id, src, typ, key string
	for _, h := range r.Headers {
		switch h.Key {
		case "ce_id":
			id = string(h.Value)
		case "ce_source":
			src = string(h.Value)
		case "ce_type":
			typ = string(h.Value)
		case "ce_partitionkey":
			key = string(h.Value)
		case "ce_time":
			if at, err := time.Parse(time.RFC3339Nano, string(h.Value)); err == nil {
				n += at.Nanosecond()
			}
		}
	}
	return n + len(id) + len(src) + len(typ) + len(key)
}
