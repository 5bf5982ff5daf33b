package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/leat-go/leat/event"
)

// sufferers are the events that were ever produced.
type sufferers struct {
	mu     sync.Mutex
	events map[sufferer]*affliction
}

type sufferer struct{ topic, source, id string }

// mostSufferers bounds the table: later events are spared.
const mostSufferers = 1 << 16

// verdict is what becomes of an event of a Produce.
type verdict uint8

const (
	accepted verdict = iota
	written          // and said to be perhaps
	dropped          // and said to be perhaps written
)

// judge decides about the events of a call; refuse is for all of them.
func (f *faults) judge(topic string, events []event.Event) (verdicts []verdict, refuse bool) {
	if f.FailProduce <= 0 {
		return nil, false
	}
	f.produced.mu.Lock()
	defer f.produced.mu.Unlock()
	var stopped map[string]bool // keys of which an event was dropped
	for i, e := range events {
		v, all := f.judgeOne(sufferer{topic, e.Source(), e.ID()})
		if v != accepted && verdicts == nil {
			verdicts, refuse = make([]verdict, len(events)), all
			stopped = make(map[string]bool)
		}
		if verdicts == nil {
			continue
		}
		if key := e.Key(); key != "" {
			if stopped[key] {
				v = dropped
			}
			stopped[key] = v == dropped
		}
		verdicts[i] = v
	}
	return verdicts, refuse
}

// judgeOne decides about one event, and what becomes of the call if it is the first
// of it to suffer. The table is locked.
func (f *faults) judgeOne(id sufferer) (v verdict, refuse bool) {
	a := f.produced.events[id]
	if a == nil {
		if len(f.produced.events) >= mostSufferers {
			return accepted, false
		}
		if f.produced.events == nil {
			f.produced.events = make(map[sufferer]*affliction)
		}
		a = &affliction{fate: f.fateOf(0, "", id.topic, id.source, id.id)}
		f.produced.events[id] = a
	}
	if !a.suffers(faultProduce, f.FailProduce) {
		return accepted, false
	}
	r := a.random(faultProduce)
	v = written
	if r.IntN(2) == 0 {
		v = dropped
	}
	return v, r.IntN(3) == 0
}

// publishFaulty is a publish on a bad day.
func (t *topic) publishFaulty(ctx context.Context, b *batch) error {
	verdicts, refuse := t.c.faults.judge(t.name, b.events)
	if refuse {
		return fmt.Errorf("memory: topic %q took nothing: %w", t.name, ErrFault)
	}
	rest, index := b.without(verdicts)
	failures, err := t.publishRest(ctx, &rest, index)
	if err != nil {
		return err // nothing was accepted
	}
	for i, p := range rest.positions {
		b.positions[index[i]] = p
	}
	for i, v := range verdicts {
		if v != accepted && failures[i] == nil {
			failures[i] = fmt.Errorf("memory: topic %q, the answer was lost: %w", t.name, ErrFault)
		}
	}
	return failed(b.events, failures)
}

// without returns the batch without what is dropped, and where its events stood.
func (b *batch) without(verdicts []verdict) (rest batch, index []int) {
	rest = *b
	rest.events = nil
	for i, e := range b.events {
		if len(verdicts) == 0 || verdicts[i] != dropped {
			rest.events = append(rest.events, e)
			index = append(index, i)
		}
	}
	if b.positions != nil {
		rest.positions = make([]event.Position, len(rest.events))
	}
	return rest, index
}

// publishRest publishes, and returns what was refused by its index in the call.
func (t *topic) publishRest(ctx context.Context, rest *batch, index []int) (map[int]error, error) {
	failures := make(map[int]error)
	err := t.publishWell(ctx, rest)
	some, partly := errors.AsType[*event.ProduceError](err)
	if !partly {
		return failures, err
	}
	for _, f := range some.Failed {
		failures[index[f.Index]] = f.Err
	}
	return failures, nil
}

// failed returns the error of a call.
func failed(events []event.Event, failures map[int]error) error {
	e := new(event.ProduceError)
	for i := range events {
		if err := failures[i]; err != nil {
			e.Failed = append(e.Failed, event.ProduceFailure{Index: i, ID: events[i].ID(), Err: err, Maybe: errors.Is(err, ErrFault)})
		}
	}
	if len(e.Failed) == 0 {
		return nil
	}
	return e
}
