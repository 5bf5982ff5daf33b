package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// cluster is a private one: Kafka's tools know where it is.
type cluster struct {
	*kafkatest.Cluster

	channel *kafka.Channel
}

func TestConsole(t *testing.T) {
	c := cluster{Cluster: kafkatest.NewCluster(t, 1)}
	c.channel = kafka.New(kafka.Config{Brokers: c.Brokers()})
	t.Cleanup(func() { assert.NoError(t, c.channel.Close(context.Background())) })
	t.Run("consumer", c.consumer)
	t.Run("producer", c.producer)
	t.Run("partitions", c.partitions)
	t.Run("groups", c.groups)
	t.Run("held", c.held)
}

// make makes a topic.
func (c cluster) make(t *testing.T, topic string, partitions int) {
	t.Helper()
	require.NoError(t, c.channel.EnsureTopic(t.Context(), event.TopicSpec{Name: topic, Partitions: partitions}))
}

// read returns the records of a topic as Kafka's consumer prints them, each as
// partition, headers, key and value.
func (c cluster) read(t *testing.T, topic string, n int) (records [][4]string) {
	t.Helper()
	out, err := c.CLI("consumer.ConsoleConsumer", "--topic", topic, "--from-beginning", "--max-messages", strconv.Itoa(n), "--timeout-ms", "30000",
		"--formatter-property", "print.partition=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.key=true")
	require.NoError(t, err)
	for line := range strings.Lines(out) {
		fields := strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4)
		require.Len(t, fields, 4, line)
		records = append(records, [4]string(fields))
	}
	require.Len(t, records, n)
	return records
}

// write lets Kafka's producer write lines of headers, key and value; those of a plain
// topic have no headers.
func (c cluster) write(t *testing.T, topic string, headers bool, lines ...string) {
	t.Helper()
	_, err := c.Pipe(strings.NewReader(strings.Join(lines, "\n")+"\n"), "ConsoleProducer", "--topic", topic,
		"--reader-property", "parse.headers="+strconv.FormatBool(headers), "--reader-property", "parse.key=true",
		"--reader-property", "headers.separator=;", "--reader-property", "headers.key.separator=>", "--reader-property", "null.marker=~")
	require.NoError(t, err)
}

// What leat writes is seen as it is: key, headers with ce_, value.
func (c cluster) consumer(t *testing.T) {
	c.make(t, "seen", 1)
	p, err := c.channel.Producer(t.Context(), "seen")
	require.NoError(t, err)
	require.NoError(t, p.Produce(t.Context(),
		event.Attributes{
			ID: "1", Source: "/shop", Type: "order-placed", Key: "kunde-ü", Subject: "order/1", Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC),
			ContentType: "application/json", Data: []byte(`{"name":"ключ"}`),
		}.Event().WithExtension(event.ExtTenant, "acme"),
		event.Attributes{ID: "2", Source: "/shop", Type: "ping"}.Event().WithTime(time.Time{}),
	))
	records := c.read(t, "seen", 2)
	full, least := records[0], records[1]
	assert.ElementsMatch(t, []string{
		"ce_specversion:1.0", "ce_id:1", "ce_source:/shop", "ce_type:order-placed", "ce_subject:order/1", "ce_time:2026-01-02T03:04:05.000000006Z",
		"content-type:application/json", "ce_partitionkey:kunde-ü", "ce_tenant:acme",
	}, headersOf(full))
	assert.Equal(t, "kunde-ü", full[2])
	assert.JSONEq(t, `{"name":"ключ"}`, full[3])

	assert.ElementsMatch(t, []string{"ce_specversion:1.0", "ce_id:2", "ce_source:/shop", "ce_type:ping"}, headersOf(least))
	assert.Equal(t, []string{"null", "null"}, least[2:], "no key and no data, not empty ones")
}

func headersOf(record [4]string) []string {
	return strings.Split(strings.TrimPrefix(record[1], "Headers:"), ",")
}

// What Kafka's producer writes is delivered: an event if its headers say so, else a
// dead letter with the bytes as they were.
func (c cluster) producer(t *testing.T) {
	const ce = "ce_specversion>1.0;ce_source>/other;ce_type>thing;ce_id>"
	c.make(t, "things", 1)
	c.write(t, "things", true,
		ce+"1;content-type>text/plain;ce_subject>größe;foreign>header\tkunde-ü\thello wörld",
		ce+"2;ce_partitionkey>own\tanother\tx", // the attribute is what counts
		ce+"3\t~\t~",
		"foreign>header\tplain-key\t  just bytes: ü {",
		"foreign>header\t~\tno key",
	)
	b := bus.New(bus.Config{Channel: c.channel, App: "console", KeepChannel: true, Logger: slog.New(slog.DiscardHandler)})
	got := make(chan event.Event, 10)
	bus.SubscribeRaw(b, "all", nil, func(_ context.Context, e event.Event) error {
		got <- e
		return nil
	}, bus.Topic("things"))
	require.NoError(t, b.Start(t.Context()))
	require.NoError(t, b.Drain(t.Context()))
	close(got)

	var events []string
	for e := range got {
		events = append(events, fmt.Sprintf("%s %s %s %q %q %q %q", e.ID(), e.Source(), e.Type(), e.Subject(), e.Key(), e.ContentType(), e.Data()))
	}
	assert.Equal(t, []string{
		`1 /other thing "größe" "kunde-ü" "text/plain" "hello wörld"`,
		`2 /other thing "" "own" "" "x"`,
		`3 /other thing "" "" "" ""`,
	}, events)
	var raw []string
	for d, err := range c.channel.DeadLetters(t.Context(), "things", "console.all") {
		require.NoError(t, err)
		raw = append(raw, string(d.Raw))
	}
	assert.Equal(t, []string{"  just bytes: ü {", "no key"}, raw)

	for i, r := range c.read(t, "things.console.all.dead", 2) { // key, value and headers are those of the record
		assert.Equal(t, []string{"plain-key", "null"}[i], r[2])
		assert.Equal(t, raw[i], r[3])
		assert.Contains(t, r[1], "foreign:header,leat_kind:dead")
	}
}

// Keys have the same partition, whoever writes them.
func (c cluster) partitions(t *testing.T) {
	const n = 7
	keys := []string{" ", "ü", "λόγος", "🔑🔑", strings.Repeat("long ", 1600), strings.Repeat("ü", 777)}
	for i := range 300 {
		keys = append(keys, fmt.Sprintf("customer-%d", i), fmt.Sprintf("kunde-%d-ü%s", i, strings.Repeat("é", i%9)))
	}
	c.make(t, "theirs", n)
	lines := make([]string, len(keys))
	for i, key := range keys {
		lines[i] = key + "\tx"
	}
	c.write(t, "theirs", false, lines...)
	theirs := make(map[string]string)
	for _, r := range c.read(t, "theirs", len(keys)) {
		theirs[r[2]] = strings.TrimPrefix(r[0], "Partition:")
	}

	c.make(t, "ours", n)
	p, err := c.channel.Producer(t.Context(), "ours")
	require.NoError(t, err)
	events := make([]event.Event, len(keys))
	for i, key := range keys {
		events[i] = event.Attributes{ID: strconv.Itoa(i), Source: "/s", Type: "t", Key: key}.Event()
	}
	at, err := p.(event.PositionProducer).ProduceAt(t.Context(), events...)
	require.NoError(t, err)
	used := make(map[string]bool)
	for i, key := range keys {
		ours := strconv.Itoa(int(at[i].Lane))
		used[ours] = true
		assert.Equal(t, theirs[key], ours, "key %.40q", key)
	}
	assert.Len(t, used, n)
}

// describe returns what Kafka's tool says of a group, by topic: partition, offset, end
// and lag of its only partition.
func (c cluster) describe(t *testing.T, group string) map[string][]string {
	t.Helper()
	out, err := c.CLI("consumer.group.ConsumerGroupCommand", "--describe", "--group", group)
	require.NoError(t, err)
	topics := make(map[string][]string)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) > 5 && f[0] == group {
			topics[f[1]] = f[2:6]
		}
	}
	return topics
}

// Kafka's tool for groups shows the offset below which all is settled, that of the
// group's own topics too, and can move a group.
func (c cluster) groups(t *testing.T) {
	assert.Equal(t, map[string][]string{
		"things":                  {"0", "5", "5", "0"},
		"things.console.all.dead": {"0", "2", "2", "0"}, // letters are no lag
	}, c.describe(t, "console.all"))
	out, err := c.CLI("consumer.group.ConsumerGroupCommand", "--group", "console.all", "--topic", "things", "--reset-offsets", "--to-offset", "2", "--execute")
	require.NoError(t, err, out)
	lag, err := c.channel.Lag(t.Context(), "things", "console.all")
	require.NoError(t, err)
	assert.Equal(t, event.Lag{Waiting: 3, Dead: 2, OldestAge: lag.OldestAge}, lag)
}

// What waits for its retry holds the offset that Kafka's tools see, not the events
// behind it, and not leat's lag.
func (c cluster) held(t *testing.T) {
	c.make(t, "held", 1)
	b := bus.New(bus.Config{Channel: c.channel, App: "console", KeepChannel: true, Logger: slog.New(slog.DiscardHandler)})
	var handled sync.WaitGroup
	handled.Add(9)
	bus.SubscribeRaw(b, "slow", nil, func(_ context.Context, e event.Event) error {
		if e.ID() == "0" {
			return event.RetryAfter(time.Hour, errors.New("not now"))
		}
		handled.Done()
		return nil
	}, bus.Topic("held"))
	require.NoError(t, b.Start(t.Context()))
	for i := range 10 {
		e := event.Attributes{ID: strconv.Itoa(i), Source: "/s", Type: "t", Key: strconv.Itoa(i)}.Event()
		require.NoError(t, b.Publish(t.Context(), e, bus.Topic("held")))
	}
	handled.Wait()
	lags, err := b.Lag(t.Context())
	require.NoError(t, err)
	require.Len(t, lags, 1)
	assert.LessOrEqual(t, lags[0].Lag.Unsettled(), 2, "one, and the last of the nine if it is not settled yet")
	assert.Equal(t, []string{"0", "0", "10", "10"}, c.describe(t, "console.slow")["held"])
	require.NoError(t, b.Shutdown(t.Context()))
}
