package kafka_test

import (
	"context"
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// foreigner writes to a topic as another client does that has transactions.
type foreigner struct {
	t     *testing.T
	ch    *kafka.Channel
	plain *kgo.Client
	cl    *kgo.Client
	topic string
	last  map[int32]int64 // positions of the last events, by partition
	n     int             // events
}

const foreignPartitions = 2

func newForeigner(t *testing.T, change func(*kafka.Config)) *foreigner {
	t.Helper()
	cfg := kafka.Config{
		Brokers: kafkatest.Brokers(t), SessionTimeout: session, Topics: kafka.TopicDefaults{Partitions: foreignPartitions},
	}
	change(&cfg)
	f := &foreigner{t: t, ch: kafka.New(cfg), topic: fmt.Sprintf("ends-%d", time.Now().UnixNano()), last: make(map[int32]int64)}
	t.Cleanup(func() { _ = f.ch.Close(context.Background()) })
	require.NoError(t, f.ch.EnsureTopic(t.Context(), event.TopicSpec{Name: f.topic}))
	open := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(cfg.Brokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		require.NoError(t, err)
		t.Cleanup(cl.Close)
		return cl
	}
	f.plain, f.cl = open(), open(kgo.TransactionalID(f.topic))
	return f
}

// next returns the next event as a record.
func (f *foreigner) next(partition int32, key string, bytes int) *kgo.Record {
	f.n++
	value := make([]byte, bytes)
	_, _ = crand.Read(value) // not to be compressed
	headers := []kgo.RecordHeader{
		{Key: "ce_specversion", Value: []byte("1.0")},
		{Key: "ce_type", Value: []byte("tested")},
		{Key: "ce_source", Value: []byte("/test")},
		{Key: "ce_id", Value: fmt.Append(nil, f.n)},
	}
	return &kgo.Record{Topic: f.topic, Partition: partition, Key: []byte(key), Value: value, Headers: headers}
}

// write writes records of which consumers will get each.
func (f *foreigner) write(rs ...*kgo.Record) {
	f.t.Helper()
	require.NoError(f.t, f.plain.ProduceSync(f.t.Context(), rs...).FirstErr())
	f.note(rs)
}

func (f *foreigner) note(rs []*kgo.Record) {
	for _, r := range rs {
		f.last[r.Partition] = max(f.last[r.Partition], r.Offset+1)
	}
}

// begin writes records in a transaction that stays open.
func (f *foreigner) begin(rs ...*kgo.Record) {
	f.t.Helper()
	require.NoError(f.t, f.cl.BeginTransaction())
	require.NoError(f.t, f.cl.ProduceSync(f.t.Context(), rs...).FirstErr())
}

func (f *foreigner) end(how kgo.TransactionEndTry) {
	f.t.Helper()
	require.NoError(f.t, f.cl.EndTransaction(f.t.Context(), how))
	adm := kadm.NewClient(f.plain)
	open := func() bool { // the partitions learn of it later
		stable, err := adm.ListCommittedOffsets(f.t.Context(), f.topic)
		require.NoError(f.t, err)
		all, err := adm.ListEndOffsets(f.t.Context(), f.topic)
		require.NoError(f.t, err)
		for n, end := range all[f.topic] {
			if stable[f.topic][n].Offset < end.Offset {
				return true
			}
		}
		return false
	}
	for open() {
		<-time.After(10 * time.Millisecond)
	}
}

func (f *foreigner) commit(rs ...*kgo.Record) {
	f.t.Helper()
	f.begin(rs...)
	f.end(kgo.TryCommit)
	f.note(rs)
}

func (f *foreigner) abort(rs ...*kgo.Record) {
	f.t.Helper()
	f.n -= len(rs) // nobody gets them
	f.begin(rs...)
	f.end(kgo.TryAbort)
}

func (f *foreigner) some(n, bytes int) (rs []*kgo.Record) {
	for i := range n {
		rs = append(rs, f.next(int32(i%foreignPartitions), "", bytes))
	}
	return rs
}

func (f *foreigner) ends() map[int32]int64 {
	f.t.Helper()
	ps, err := f.ch.Ends(f.t.Context(), f.topic)
	require.NoError(f.t, err)
	ends := make(map[int32]int64)
	for _, p := range ps {
		ends[p.Lane] = p.Offset
	}
	require.Len(f.t, ends, len(ps))
	return ends
}

func (f *foreigner) join(group string) event.Consumer {
	f.t.Helper()
	c, err := f.ch.Consumer(f.t.Context(), event.Subscription{Group: group, Topics: []string{f.topic}})
	require.NoError(f.t, err)
	return c
}

// receive returns the next n deliveries.
func (f *foreigner) receive(c event.Consumer, n int) (ds []event.Delivery) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), time.Minute)
	defer cancel()
	buf := make([]event.Delivery, n)
	for len(ds) < n {
		got, err := c.Receive(ctx, buf[:n-len(ds)])
		require.NoError(f.t, err, "%d of %d", len(ds), n)
		ds = append(ds, buf[:got]...)
	}
	return ds
}

func (f *foreigner) settle(c event.Consumer, ss ...event.Settlement) {
	f.t.Helper()
	require.NoError(f.t, c.Settle(f.t.Context(), ss))
}

func (f *foreigner) ack(c event.Consumer, ds ...event.Delivery) {
	f.t.Helper()
	for _, d := range ds {
		f.settle(c, event.Ack(d.Token))
	}
}

// covered fails unless each position from first on is an event's or in a gap, and none
// is both.
func (f *foreigner) covered(ds []event.Delivery, first, ends map[int32]int64) {
	f.t.Helper()
	seen := make(map[event.Position]int)
	for _, d := range ds {
		for o := d.Position.Offset - d.Gap; o <= d.Position.Offset; o++ {
			seen[event.Position{Lane: d.Position.Lane, Offset: o}]++
		}
	}
	total := 0
	for lane, end := range ends {
		for o := first[lane]; o <= end; o++ {
			p := event.Position{Lane: lane, Offset: o}
			assert.Equal(f.t, 1, seen[p], "position %v, of %v", p, ends)
			total++
		}
	}
	assert.Len(f.t, seen, total, "what is behind the ends, or before the first")
}

var fromStart = map[int32]int64{0: 1, 1: 1}

// Markers, aborted and committed transactions of others: ends are those of the last
// events, and all else is in gaps.
func TestEndsAndGapsOfTransactions(t *testing.T) {
	t.Parallel()
	f := newForeigner(t, func(*kafka.Config) {})
	c := f.join(f.topic)
	f.abort(f.some(3, 0)...)
	assert.Empty(t, f.ends(), "nothing but an aborted transaction")
	rng := rand.New(rand.NewPCG(7, uint64(time.Now().UnixNano())))
	for range 12 {
		n := 1 + rng.IntN(5)
		switch rng.IntN(3) {
		case 0:
			f.write(f.some(n, 0)...)
		case 1:
			f.commit(f.some(n, 0)...)
		default:
			f.abort(f.some(n, 0)...)
		}
		assert.Equal(t, f.last, f.ends())
	}
	f.write(f.some(2, 0)...)
	f.commit(f.some(2, 0)...)
	assert.Equal(t, f.last, f.ends(), "behind it are markers")
	f.abort(f.some(700, 1000)...)
	assert.Equal(t, f.last, f.ends(), "behind it is more than one answer brings")

	ends := f.ends()
	ds := f.receive(c, f.n)
	f.ack(c, ds...)
	f.covered(ds, fromStart, ends)
	require.NoError(t, c.Close(t.Context()))

	again := f.receive(f.join(f.topic+"-late"), f.n)
	f.covered(again, fromStart, ends)
}

// Behind an open transaction nothing is seen, and what was accepted there counts all the
// same: a reader waits for it, and sees it when the transaction has ended.
func TestEndsBehindAnOpenTransaction(t *testing.T) {
	t.Parallel()
	f := newForeigner(t, func(*kafka.Config) {})
	c := f.join(f.topic)
	f.write(f.next(0, "", 0))
	open := f.next(0, "", 0)
	f.n--
	f.begin(open)
	assert.Equal(t, map[int32]int64{0: open.Offset + 1}, f.ends(), "it may be committed already: nobody knows yet")
	f.write(f.next(0, "", 0))
	assert.Equal(t, f.last, f.ends())
	f.end(kgo.TryAbort)
	assert.Equal(t, f.last, f.ends())
	ds := f.receive(c, 2)
	f.covered(ds, fromStart, f.ends())
	assert.Equal(t, int64(1), ds[1].Gap, "the aborted one, whose marker is behind the next event")

	f.begin(f.next(0, "", 0))
	waiting := f.ends()
	assert.NotEqual(t, f.last, waiting)
	f.end(kgo.TryAbort)
	assert.Equal(t, f.last, f.ends(), "who waited for %v in vain asks again", waiting)
}

// What an earlier owner of a partition has settled doesn't come again: for the next one
// it is a gap.
func TestGapOfWhatWasSettledBefore(t *testing.T) {
	t.Parallel()
	f := newForeigner(t, func(*kafka.Config) {})
	for range 6 {
		f.commit(f.next(0, "", 0))
	}
	c := f.join(f.topic)
	ds := f.receive(c, 6) // at 1, 3, 5 … with markers between
	f.ack(c, ds[0], ds[2], ds[3], ds[5])
	require.NoError(t, c.Close(t.Context()))
	rest := f.receive(f.join(f.topic), 2)
	assert.Equal(t, ds[1].Position, rest[0].Position)
	assert.Equal(t, rest[0].Position.Offset-1, rest[0].Gap, "all before the first")
	assert.Equal(t, ds[4].Position, rest[1].Position)
	assert.Equal(t, ds[4].Position.Offset-ds[1].Position.Offset-1, rest[1].Gap, "two markers more than events")
}

// Events that take another way keep their gap: through the dead letters, behind a parked
// key, and through the delay topic.
func TestGapOnOtherWays(t *testing.T) {
	t.Parallel()
	f := newForeigner(t, func(c *kafka.Config) { c.DelayTopics = true })
	c := f.join(f.topic)
	late := time.Now().Add(6 * time.Second)
	f.commit(f.next(0, "first", 0))
	f.commit(f.next(0, "dies", 0))
	delayed := f.next(0, "waits", 0)
	delayed.Headers = append(delayed.Headers, kgo.RecordHeader{Key: "ce_notbefore", Value: []byte(late.Format(time.RFC3339Nano))})
	f.commit(delayed)
	f.commit(f.next(0, "parks", 0))
	var ds []event.Delivery
	for _, d := range f.receive(c, 3) {
		_, ok := c.Begin(d.Token)
		require.True(t, ok)
		switch d.Event.Key() {
		case "first":
			ds = append(ds, d)
			f.ack(c, d)
		case "dies":
			f.settle(c, event.Dead(d.Token, event.Cause{Code: "x"}))
		case "parks":
			f.settle(c, event.Park(d.Token, event.Cause{Code: "x"}))
		}
	}
	f.commit(f.next(0, "parks", 0))
	f.commit(f.next(0, "last", 0))
	ends := f.ends()
	for _, d := range f.receive(c, 2) {
		ds = append(ds, d)
		f.ack(c, d)
	}
	for letter, err := range f.ch.DeadLetters(t.Context(), f.topic, f.topic) {
		require.NoError(t, err)
		if letter.Event.Key() == "dies" {
			require.NoError(t, f.ch.Redrive(t.Context(), letter, letter.Event.WithID("repaired")))
		}
	}
	n, err := f.ch.RedriveKey(t.Context(), f.topic, f.topic, "parks")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	ds = append(ds, f.receive(c, 3)...)
	f.covered(ds, fromStart, ends)
}
