package kafkatest

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-go/leat/internal/servicetest"
)

// A Cluster is a private Kafka for a test that breaks it. Its brokers count from 1,
// like their node ids. Each is a broker and a controller: of three, one may be down.
// All methods but CLI, Pipe and those that only tell something fail the test when they
// can't do what they are to do, so they belong into the test's own goroutine.
type Cluster struct {
	t      testing.TB
	server *servicetest.Server
}

// An Option is for NewCluster.
type Option func(*config)

type config struct {
	sasl  bool
	props []string
}

// WithSASL adds a listener with SASL (SCRAM-SHA-512, without TLS) and ACLs: see
// [Cluster.SASLBrokers]. The plain listener stays: its users may do all.
func WithSASL() Option { return func(c *config) { c.sasl = true } }

// WithProps adds properties of brokers, each "name=value" without blanks. They win
// against the defaults of NewCluster, which make a killed broker's partitions move
// and its restart succeed within about three seconds.
func WithProps(props ...string) Option {
	return func(c *config) { c.props = append(c.props, props...) }
}

// NewCluster starts n brokers (1 to 9) on free ports of 127.0.0.1 and waits until
// they serve, which takes 3 to 15 seconds. They end with the test, and also if its
// process dies; their data go with them.
//
// Where Kafka can't be had (no Java; or its jars are not in the cache, and can't be
// fetched) the test is skipped; with LEAT_REQUIRE_SERVICES=1 it fails.
func NewCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	conf := config{props: []string{"broker.session.timeout.ms=3000", "broker.heartbeat.interval.ms=500"}}
	for _, o := range opts {
		o(&conf)
	}
	args := []string{strconv.Itoa(n)}
	if conf.sasl {
		args = append(args, "--sasl")
	}
	return &Cluster{t: t, server: servicetest.Start(t, "kafka",
		servicetest.WithArgs(args...),
		servicetest.WithEnv("LEAT_KAFKA_PROPS="+strings.Join(conf.props, " ")),
		servicetest.WithPorts(n, 100, 200),
	)}
}

// Brokers returns the brokers' addresses, that of broker 1 first.
func (c *Cluster) Brokers() []string { return strings.Split(c.server.Addr(), ",") }

// Kill ends broker i as a crash does. Its data stay.
func (c *Cluster) Kill(i int) { c.t.Helper(); c.do("kill-broker", i) }

// Stop ends broker i in good order: what it leads moves first. Its data stay.
func (c *Cluster) Stop(i int) { c.t.Helper(); c.do("stop-broker", i) }

// Start starts broker i again on its data, and waits until it serves.
func (c *Cluster) Start(i int) { c.t.Helper(); c.do("start-broker", i) }

// Pause makes broker i hang: its connections stay open, and nothing answers.
func (c *Cluster) Pause(i int) { c.t.Helper(); c.do("pause-broker", i) }

// Resume ends a Pause.
func (c *Cluster) Resume(i int) { c.t.Helper(); c.do("resume-broker", i) }

func (c *Cluster) do(command string, i int) { c.t.Helper(); c.server.Do(command, strconv.Itoa(i)) }

// CLI runs one of Kafka's own tools, which are classes of org.apache.kafka.tools,
// against the plain listener, and returns what it printed:
//
//	c.CLI("TopicCommand", "--create", "--topic", "orders", "--partitions", "3")
func (c *Cluster) CLI(class string, args ...string) (string, error) {
	return c.Pipe(nil, class, args...)
}

// Pipe is CLI with something to read for the tool.
//
//	c.Pipe(strings.NewReader("hello\n"), "ConsoleProducer", "--topic", "orders")
func (c *Cluster) Pipe(stdin io.Reader, class string, args ...string) (string, error) {
	return c.server.Pipe(stdin, "cli", append([]string{class}, args...)...)
}
