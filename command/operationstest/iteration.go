package operationstest

import (
	"context"
	"errors"
	"sync"

	"github.com/leat-go/leat/command"
)

func iterationCases() []testCase {
	return []testCase{
		{"IterateToTheEnd", "Watch returns an operation as it is and after each change, until it is final.", iterateToTheEnd},
		{"IterateAfter", "Watch leaves out the versions that are known.", iterateAfter},
		{"IterateMany", "Whoever is slow misses versions in between, and never the last; versions rise.", iterateMany},
		{"IterateUntilItsContextEnds", "Watch ends with its context, and says why.", iterateUntilItsContextEnds},
		{"IterateNothing", "Watch of what there isn't is an error; it stops to watch however it ends.", iterateNothing},
	}
}

func iterateToTheEnd(e *env) {
	o := e.accepted("a")
	var seen []command.State
	for got, err := range command.Watch(e.ctx(), e.other, o.ID, 0) {
		e.fails("Watch", err, nil)
		e.is("Watch", got, o)
		seen = append(seen, got.State)
		o.State = map[command.State]command.State{
			command.Accepted: command.Running, command.Running: command.Retrying, command.Retrying: command.Succeeded,
		}[o.State]
		if o.State != "" {
			o = e.swap(e.ops, o)
		}
	}
	if len(seen) != 4 {
		e.t.Errorf("%v", seen)
	}
}

func iterateAfter(e *env) {
	o := e.swap(e.ops, e.accepted("a"))
	o.State = command.Failed
	o = e.swap(e.ops, o)
	for after, want := range map[int64]int{0: 1, 1: 1, 2: 1, 3: 0, 9: 0} {
		n := 0
		for got, err := range command.Watch(e.ctx(), e.other, o.ID, after) {
			e.fails("Watch", err, nil)
			e.is("Watch", got, o)
			n++
		}
		if n != want {
			e.t.Errorf("after version %d of 3 it returned %d, not %d", after, n, want)
		}
	}
}

func iterateMany(e *env) {
	const watchers, changes = 50, 100
	o, id := e.accepted("a"), e.id("a")
	var all sync.WaitGroup
	for range watchers {
		all.Go(func() {
			var last command.Operation
			for got, err := range command.Watch(e.ctx(), e.other, id, 0) {
				if err != nil || got.Version <= last.Version {
					e.t.Errorf("Watch: version %d after %d, %v", got.Version, last.Version, err)
					return
				}
				last = got
			}
			if last.State != command.Succeeded || last.Version != changes+1 {
				e.t.Errorf("the last was %q, version %d", last.State, last.Version)
			}
		})
	}
	for i := range changes {
		o.Attempt = i
		if i == changes-1 {
			o.State = command.Succeeded
		}
		o = e.swap(e.ops, o)
	}
	all.Wait()
}

func iterateUntilItsContextEnds(e *env) {
	o := e.accepted("a")
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(e.ctx())
	defer cancel(nil)
	var got []error
	for _, err := range command.Watch(ctx, e.other, o.ID, 0) {
		got = append(got, err)
		cancel(why)
	}
	if len(got) != 2 || got[0] != nil || !errors.Is(got[1], why) {
		e.t.Errorf("%v", got)
	}
	for _, err := range command.Watch(ctx, e.other, o.ID, 0) {
		e.fails("Watch with a context that has ended", err, why)
	}
}

func iterateNothing(e *env) {
	ops, n := &stopped{Operations: e.ops}, 0
	for _, err := range command.Watch(e.ctx(), ops, e.id("none"), 0) {
		e.fails("Watch", err, command.ErrNoOperation)
		n++
	}
	o := e.accepted("a")
	for _, err := range command.Watch(e.ctx(), ops, o.ID, 0) {
		e.fails("Watch", err, nil)
		n++
		break
	}
	o.State = command.Failed
	e.swap(e.ops, o)
	for _, err := range command.Watch(e.ctx(), ops, o.ID, 0) {
		e.fails("Watch", err, nil)
		n++
	}
	if n != 3 || ops.stops != 3 {
		e.t.Errorf("three returned %d times, and %d of them stopped", n, ops.stops)
	}
}

// stopped counts who stopped watching.
type stopped struct {
	command.Operations

	stops int
}

func (s *stopped) Watch(ctx context.Context, id string, wake func()) (func(), error) {
	stop, err := s.Operations.Watch(ctx, id, wake)
	return func() { s.stops++; stop() }, err
}
