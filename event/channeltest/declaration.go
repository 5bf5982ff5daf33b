package channeltest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/leat-go/leat/event"
)

// Capability is a set of the optional interfaces of package event.
type Capability uint16

// The capabilities that a channel, or its producers, can have.
const (
	Provisioner      Capability = 1 << iota // [event.Provisioner]
	DeadLetters                             // [event.DeadLetters]
	GroupProducer                           // [event.GroupProducer]
	PositionProducer                        // [event.PositionProducer]
	Scheduler                               // [event.Scheduler]
	Census                                  // [event.Census]
	Seeker                                  // [event.Seeker]
	LagReporter                             // [event.LagReporter]
	Quiescer                                // [event.Quiescer]
	Ends                                    // [event.Ends]
)

var capabilityNames = [...]string{
	"Provisioner", "DeadLetters", "GroupProducer", "PositionProducer", "Scheduler", "Census", "Seeker", "LagReporter", "Quiescer", "Ends",
}

// String returns the names of the capabilities.
func (c Capability) String() string {
	var names []string
	for i, name := range capabilityNames {
		if c&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, "|")
}

// CapabilitiesOf returns which of the optional interfaces ch and its producer p
// implement.
func CapabilitiesOf(ch event.Channel, p event.Producer) Capability {
	var c Capability
	for _, x := range []struct {
		is  bool
		bit Capability
	}{
		{implements[event.Provisioner](ch), Provisioner},
		{implements[event.DeadLetters](ch), DeadLetters},
		{implements[event.GroupProducer](ch), GroupProducer},
		{implements[event.PositionProducer](p), PositionProducer},
		{implements[event.Scheduler](ch), Scheduler},
		{implements[event.Census](ch), Census},
		{implements[event.Seeker](ch), Seeker},
		{implements[event.LagReporter](ch), LagReporter},
		{implements[event.Quiescer](ch), Quiescer},
		{implements[event.Ends](ch), Ends},
	} {
		if x.is {
			c |= x.bit
		}
	}
	return c
}

func implements[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// declare fills the declaration: from the harness, checked against the channel, or
// from the channel.
func (s *spec) declare(t testing.TB) {
	t.Helper()
	probe := &spec{Harness: s.Harness} // which promises hold isn't known yet
	e := newEnv(t, probe, testCase{promise: "A channel does what it says, and says what its harness declares."})
	var said Declaration
	e.run(func(e *env) {
		topic, group := e.topic("declared"), e.group("declared")
		p := e.producer(topic)
		m := e.join(group, topic)
		said = Declaration{Guarantees: e.guarantees(topic, group), Capabilities: CapabilitiesOf(e.open(), p)}
		m.close()
		e.checkGuarantees(said.Guarantees)
		e.checkGuarantees(e.guarantees(topic, ""))
		if s.Declared == nil {
			return
		}
		for _, d := range differences(*s.Declared, said) {
			e.errorf("%s", d)
		}
	})
	e.report()
	s.Declaration = said
	if s.Declared == nil {
		t.Logf("the harness declares nothing; the channel says %+v and has %v", said.Guarantees, said.Capabilities)
	}
}

// guarantees asks the channel.
func (e *env) guarantees(topic, group string) event.Guarantees {
	ctx, cancel := context.WithTimeout(e.ctx, e.Patience)
	defer cancel()
	g, err := e.ch.Guarantees(ctx, topic, group)
	if err != nil {
		e.fatalf("Guarantees(%q, %q): %v", topic, group, err)
	}
	return g
}

func (e *env) checkGuarantees(g event.Guarantees) {
	if g.Channel == "" {
		e.errorf("Guarantees.Channel is empty: messages to people need the engine's name")
	}
	if g.CountsGiveBacks && !g.CountsAttempts {
		e.errorf("Guarantees: give-backs are counted, but attempts are not")
	}
	if g.MaxBytes < 0 || g.Lease < 0 || g.RedriveLimit < 0 || g.RedeliveryHorizon < 0 || g.DedupWindow < 0 || g.Linger < 0 {
		e.errorf("Guarantees: a negative value where only MaxDelay and MaxRetry may have one: %+v", g)
	}
}

// differences says in words where the channel and its declaration disagree.
func differences(declared, said Declaration) []string {
	var out []string
	if gone := declared.Capabilities &^ said.Capabilities; gone != 0 {
		out = append(out, fmt.Sprintf("declared but not implemented: %v", gone))
	}
	if untested := said.Capabilities &^ declared.Capabilities; untested != 0 {
		out = append(out, fmt.Sprintf("implemented but not declared, and so untested: %v", untested))
	}
	d, s := reflect.ValueOf(declared.Guarantees), reflect.ValueOf(said.Guarantees)
	for i := range d.NumField() {
		if !d.Field(i).Equal(s.Field(i)) {
			out = append(out, fmt.Sprintf("Guarantees.%s: declared %v, the channel says %v", d.Type().Field(i).Name, d.Field(i), s.Field(i)))
		}
	}
	return out
}
