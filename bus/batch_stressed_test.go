package bus_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// stressed is a member of the group.
type stressed struct {
	s        *stress
	b        *bus.Bus
	consumer event.Consumer
	gone     bool

	mu      sync.Mutex
	answers map[string]string // the latest of each event here
}

// answer decides what a handler says about an event.
func (s *stress) answer(id string, try int) (string, error) {
	soon := time.Duration(s.chance(3, "soon", id, try)) * time.Millisecond
	if !s.real {
		soon *= 1000
	}
	switch n := s.chance(100, "answer", id, try); {
	case n < 12:
		return "fail", errBoom
	case n < 15:
		return "fail", event.RetryAfter(soon, errBoom)
	case n < 18:
		return "wait", event.Postpone(soon, errBoom)
	case n < 19:
		return "dead", event.Permanent(errBoom)
	case n < 21:
		return "no", event.Reject(errBoom)
	case n < 22:
		return "wait", event.ErrFull
	}
	return "ok", nil
}

// handed checks that what came before an event is over, or right before it.
func (s *stress) handed(id string, ahead []string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries[id]++
	prev := s.before[id]
	if s.tries[id] == 1 && prev != "" && !s.unordered && !s.final[prev] && !slices.Contains(ahead, prev) {
		s.failf("event %s was handed over before %s was done", id, prev)
	}
	return s.tries[id]
}

func (m *stressed) note(id, answer string) {
	m.mu.Lock()
	m.answers[id] = answer
	m.mu.Unlock()
	if answer == "ok" || answer == "no" || answer == "dead" {
		m.s.mu.Lock()
		if prev := m.s.before[id]; prev != "" && !m.s.unordered && !m.s.final[prev] {
			m.s.failf("event %s was done before %s", id, prev)
		}
		m.s.final[id] = true
		m.s.good[id] = m.s.good[id] || answer == "ok"
		m.s.mu.Unlock()
	}
}

// handle is the work on one event: its answer, and what it registers and publishes.
func (m *stressed) handle(ctx context.Context, id string, ahead []string) (string, error) {
	s := m.s
	try := s.handed(id, ahead)
	m.note(id, "runs")
	if s.chance(3, "echo", id) == 0 {
		if err := m.b.Publish(ctx, Echo{id}); err != nil {
			return "fail", err
		}
	}
	failing := s.chance(8, "before", id, try) == 0
	err := event.OnOutcome(ctx, func(context.Context, event.Outcome) error {
		if failing {
			failing = false
			return errBoom
		}
		return nil
	}, func(context.Context, event.Outcome) {})
	if err != nil {
		return "fail", err
	}
	return s.answer(id, try)
}

func keyOf(id string) string { return id[:max(0, strings.Index(id, "/"))] }

// batch is a batch handler.
func (m *stressed) batch(ctx context.Context, ids []string, most int) error {
	s := m.s
	if len(ids) > most || len(ids) == 0 {
		s.failf("a batch of %d events, want at most %d", len(ids), most)
	}
	failed := make(bus.BatchError)
	answers := make([]string, len(ids))
	stuck := make(map[string]bool)
	for i, id := range ids {
		answer, err := m.handle(event.Element(ctx, i), id, ids[:i])
		if err != nil {
			failed[i] = err
		}
		if key := keyOf(id); key != "" && !s.unordered {
			if stuck[key] {
				answer = "again"
			}
			stuck[key] = stuck[key] || answer != "ok" && answer != "no"
		}
		answers[i] = answer
	}
	s.pause(time.Duration(s.chance(50, "took", ids[0], len(ids))) * time.Millisecond)
	n := s.chance(20, "whole", s.runs.Add(1))
	if n < 3 {
		for i := range answers {
			answers[i] = "fail"
		}
	}
	for i, id := range ids {
		m.note(id, answers[i])
	}
	switch {
	case n == 0:
		return errBoom
	case n == 1:
		panic("boom")
	case n == 2:
		runtime.Goexit()
	case n == 3 && !s.real: // it heeds its context, which the others don't
		select {
		case <-ctx.Done():
		case <-time.After(10 * time.Second):
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("wrapped: %w", failed)
	}
	return nil
}

// OnSettle checks that what is acknowledged was handled.
func (m *stressed) OnSettle(e bus.Settled) {
	s := m.s
	if e.Topic != "stress" || e.Err != nil || e.Kind != event.SettleAck && e.Kind != event.SettleDead {
		return
	}
	id := e.Event.ID()
	m.mu.Lock()
	answer := m.answers[id]
	m.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.settled[id] != "":
		s.failf("event %s is settled again", id)
	case e.Kind == event.SettleDead && answer == "dead":
	case e.Kind == event.SettleAck && (answer == "ok" || answer == "no" || e.Event.Type() == "other"):
	default:
		s.failf("event %s is settled with %v after the answer %q", id, e.Kind, answer)
	}
	s.settled[id] = e.Kind.String() + " " + answer
	s.final[id] = true
}
