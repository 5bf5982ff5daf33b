package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// gather notes the deliveries of a task that runs a batch. Those whose leases are lost
// don't reach the handler.
func (t *task) gather(tokens []event.Token) {
	t.batch = make([]*entry, 0, len(tokens))
	for _, token := range tokens {
		if en := t.p.sim.broker.entryOf(token); en.token == token[1] {
			t.batch = append(t.batch, en)
		}
	}
	t.after, t.dropped = false, len(t.batch) == 0
}

// loses reports whether a task that runs loses a delivery of its own with an event.
func (t *task) loses(en *entry) bool {
	lost := func(own *entry) bool {
		return own == en || own.holder == en.holder && own.g == en.g && sameKey(own, en)
	}
	if t.batch == nil {
		return lost(t.en)
	}
	return slices.ContainsFunc(t.batch, lost)
}

// WrapBatch implements [event.BatchMiddleware], as Wrap does for single events.
func (t *tale) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		for i, e := range events {
			t.begin(event.Element(ctx, i), e)
		}
		return next(ctx, events)
	}
}

// mostNamed is how many events of a batch are named.
const mostNamed = 6

// whatOf says what a task handles.
func (s *simulation) whatOf(t *task) string {
	if t.batch == nil {
		return s.nameOf(t.en).String()
	}
	return fmt.Sprintf("a batch of %s %s", s.nameOf(t.batch[0]).typ, s.list(t.batch))
}

// list names events of one type.
func (s *simulation) list(all []*entry) string {
	var names []string
	for _, en := range all[:min(len(all), mostNamed)] {
		n := s.nameOf(en)
		names = append(names, strings.TrimPrefix(n.String(), n.typ+" "))
	}
	text := strings.Join(names, ", ")
	if more := len(all) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// attempts says which attempts run.
func attempts(some []*begun) string {
	numbers := make([]int, len(some))
	for i, a := range some {
		numbers[i] = a.number
	}
	return numbered(numbers)
}

func numbered(attempts []int) string {
	if first := attempts[0]; !slices.ContainsFunc(attempts, func(n int) bool { return n != first }) {
		return fmt.Sprint("attempt ", first)
	}
	return "attempts " + strings.Trim(strings.ReplaceAll(fmt.Sprint(attempts), " ", ", "), "[]")
}

// endOf says how a task that has ended came out: of a batch for those together that
// have the same fate.
func (s *simulation) endOf(t *task, ends []bus.AttemptEnd) string {
	numbers := make([]int, len(ends))
	for i, a := range ends {
		numbers[i] = a.Info.Attempt
	}
	begin := ", " + numbered(numbers) + ": "
	if t.batch == nil {
		return begin + fate(ends[0], "returns nil")
	}
	var fates []string
	with := make(map[string][]*entry)
	for _, en := range t.batch {
		how := "for nothing: the lease is lost"
		if i := slices.IndexFunc(ends, func(a bus.AttemptEnd) bool { return s.broker.nameOf(a.Info.Event) == en.name }); i >= 0 {
			how = fate(ends[i], event.OutcomeAcked.String())
		}
		if !slices.Contains(fates, how) {
			fates = append(fates, how)
		}
		with[how] = append(with[how], en)
	}
	if len(fates) == 1 {
		return begin + fate(ends[0], "returns nil")
	}
	for i, how := range fates {
		fates[i] = s.list(with[how]) + " " + how
	}
	return begin + strings.Join(fates, "; ")
}

// fate says how an attempt ended.
func fate(a bus.AttemptEnd, done string) string {
	switch {
	case a.Err == nil:
		return done
	case errors.Is(a.Err, event.ErrBehind):
		return "again behind it"
	}
	return fmt.Sprintf("%v: %v", a.Outcome, a.Err)
}
