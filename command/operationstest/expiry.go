package operationstest

import (
	"errors"
	"time"

	"github.com/leat-go/leat/command"
)

func expiryCases() []testCase {
	return []testCase{
		{
			"ExpiryOfAll", "An operation is kept for as long as it was said, and then its id alone is known.",
			func(e *env) {
				began := time.Now()
				o := e.create(full(e.id("a")))
				e.pass(e.keep * 3 / 4)
				e.kept(o.ID, began, e.keep)
				e.forgotten(o.ID)
				_, err := e.ops.Swap(e.ctx(), o)
				e.fails("Swap", err, command.ErrForgotten)
				_, err = command.Change(e.ctx(), e.ops, o.ID, func(*command.Operation) bool { return true })
				e.fails("Change", err, command.ErrForgotten)
				got, err := e.ops.Create(e.ctx(), full(o.ID))
				e.fails("Create", err, command.ErrExists)
				e.is("Create", got, command.Operation{ID: o.ID})
				_, err = e.ops.Get(e.ctx(), o.ID)
				e.fails("Get after that", err, command.ErrForgotten)
			},
		},
		{
			"ExpiryAfterSwap", "An operation is kept for as long as a new one after each change.",
			func(e *env) {
				before := time.Now()
				o := e.accepted("a")
				for range 3 {
					e.pass(e.keep / 4)
					began := time.Now()
					next, err := e.ops.Swap(e.ctx(), o)
					if err != nil && time.Since(before) > e.keep {
						e.t.Skip("the machine was too slow to tell")
					}
					e.fails("Swap", err, nil)
					e.pass(e.keep / 2)
					e.kept(o.ID, began, e.keep)
					o, before = next, began
				}
				e.forgotten(o.ID)
			},
		},
		{
			"ExpiryOfWhatWaits", "An operation that has to wait is kept for as long from then on.",
			func(e *env) {
				began := time.Now()
				wait := e.keep
				o := e.create(command.Operation{ID: e.id("a"), State: command.Accepted, NotBefore: began.Add(wait)})
				swapped := e.accepted("b")
				swapped.NotBefore = began.Add(wait)
				e.swap(e.ops, swapped)
				e.pass(wait + e.keep/2)
				for _, id := range []string{o.ID, swapped.ID} {
					e.kept(id, began, wait+e.keep)
				}
				e.forgotten(o.ID)
				e.forgotten(swapped.ID)
			},
		},
		{
			"ExpiryIsNearer", "An operation that has to wait no more is kept for as long as any other.",
			func(e *env) {
				o := e.create(command.Operation{ID: e.id("a"), State: command.Accepted, NotBefore: time.Now().Add(24 * time.Hour)})
				o.NotBefore, o.State = time.Time{}, command.Cancelled
				e.swap(e.ops, o)
				e.forgotten(o.ID)
			},
		},
	}
}

// kept fails if an operation is kept no more before its time, which began at a moment, is
// over.
func (e *env) kept(id string, began time.Time, keep time.Duration) {
	e.t.Helper()
	if _, err := e.other.Get(e.ctx(), id); err != nil && time.Since(began) < keep {
		e.t.Fatalf("Get(%q), %v after it was to be kept for %v: %v", id, time.Since(began), keep, err)
	}
}

// forgotten waits until an operation is forgotten.
func (e *env) forgotten(id string) {
	e.t.Helper()
	for end := time.Now().Add(e.keep + patience); ; e.pass(e.keep / 50) {
		_, err := e.other.Get(e.ctx(), id)
		switch {
		case errors.Is(err, command.ErrForgotten):
			return
		case err != nil:
			e.t.Fatalf("Get(%q) of what is to be forgotten: %v", id, err)
		case time.Now().After(end):
			e.t.Fatalf("%q isn't forgotten", id)
		}
	}
}
