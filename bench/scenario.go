package bench

import (
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// Scenario is one kind of work, done by several sides.
type Scenario struct {
	Name  string
	About string
	Sides []Side // leat is the first
}

// Side is one way to do the work of a scenario.
type Side struct {
	Name string
	Kind Kind
	Goal float64 // for the ratio of its Kind; 0: none
	Open func() (*Stream, error)
}

// Kind says what a side is to leat, and which ratio is told about it.
type Kind int

// The kinds of sides.
const (
	Leat  Kind = iota
	Floor      // the work without a bus: leat's time by its own should be small
	Peer       // another library or way: its time by leat's should be large
)

// Stream is a side that is ready for events.
type Stream struct {
	// Run sends n events and returns when all are handled and settled. Its error says
	// how many were not.
	Run func(n int) error
	// Prepare does what is not measured before a Run of n events; nil: nothing.
	Prepare func(n int) error
	// Measured returns how long the last Run took, as far as it counts; nil: all of it.
	Measured func() time.Duration
	// Close ends the stream and its goroutines.
	Close func() error
}

// Scenarios returns all of them, those on servers where the environment names these.
func Scenarios() []Scenario {
	return slices.Concat([]Scenario{
		raw("raw", "256 bytes, one event per publish, one producer, one group, one worker",
			Load{}, 1.3, 9),
		typed(1.3, 2),
		raw("background", "as raw, published under context.Background()",
			Load{Background: true}, 0, 0),
		raw("parallel", "as raw, with four producers and four workers",
			Load{Producers: 4, Workers: 4}, 0, 0),
		raw("keyed", "as raw, with 1024 keys in order and four workers",
			Load{Workers: 4, Keyed: true}, 0, 0),
		raw("groups", "as raw, with three groups that all get every event",
			Load{Groups: 3}, 0, 0),
		raw("batch", "as raw, with 100 events per publish",
			Load{Batch: 100}, 0, 0),
		raw("chain", "as raw; the handler publishes one event to a second group",
			Load{Chain: true}, 0, 0),
		raw("retry", "as raw; the handler fails once for each event and is run again at once",
			Load{Retry: true}, 0, 0),
		insert(3),
		claims(2),
		duplicates(),
		queryLocal(3),
		queryRemote("query-remote", "a query of 256 bytes and an answer as large, one after the other", 1, 10, 4),
		queryRemote("query-remote-parallel", "as query-remote, with 10 000 under way at a time", inFlight, 10, 4),
	}, KafkaScenarios(), PostgresScenarios())
}

// Servers returns the scenarios that need a server, by the beginning of their names, and
// the variables of the environment that name it.
func Servers() map[string]string {
	return map[string]string{"kafka": kafkaEnv, "postgres": postgresEnv}
}

// insert is the scenario of a handler that costs something for each call and little
// for each row: leat in batches beside leat by single events.
func insert(goal float64) Scenario {
	return Scenario{"insert", "rows are inserted, up to 500 in a call, by CPU work for each call and each row", []Side{
		{"leat", Leat, 0, func() (*Stream, error) { return openInsert(true) }},
		{"single", Peer, goal, func() (*Stream, error) { return openInsert(false) }},
	}}
}

// raw is a scenario of events whose data nobody looks into.
func raw(name, about string, l Load, floor, peer float64) Scenario {
	s := Scenario{name, about, []Side{
		{"leat", Leat, 0, func() (*Stream, error) { return openLeat(l) }},
	}}
	if !l.Chain && !l.Retry { // a channel alone can do neither
		s.Sides = append(s.Sides, Side{"channel", Floor, floor, func() (*Stream, error) { return openChannel(l) }})
	}
	for _, w := range gochannels {
		if l.Keyed && !w.BlockPublishUntilSubscriberAck {
			continue // keeps no order
		}
		s.Sides = append(s.Sides, Side{gochannelName(w), Peer, peer, func() (*Stream, error) { return openWatermill(l, w) }})
	}
	return s
}

// typed is the scenario of values that become JSON and values again.
func typed(floor, peer float64) Scenario {
	s := Scenario{"typed", "values of about 250 bytes of JSON, one producer, one group, one worker", []Side{
		{"leat", Leat, 0, openLeatTyped},
		{"json-2", Floor, floor, openJSONPipeline},
		{"json-1", Floor, 0, openJSONAlone},
	}}
	for _, w := range gochannels {
		s.Sides = append(s.Sides, Side{gochannelName(w), Peer, peer, func() (*Stream, error) { return openWatermillTyped(w) }})
	}
	return s
}

// gochannels are the configurations of Watermill's channel in memory. Those that
// block have order and back-pressure, as leat has. The others have neither: each
// publish starts goroutines and returns.
var gochannels = []gochannel.Config{
	{BlockPublishUntilSubscriberAck: true},
	{BlockPublishUntilSubscriberAck: true, OutputChannelBuffer: 1024},
	{},
	{OutputChannelBuffer: 1024},
}
