package operationstest

import (
	"bytes"
	"context"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

func changeCases() []testCase {
	return []testCase{
		{
			"Swap", "A swap replaces all of an operation but its times and its version, which is one more.",
			func(e *env) {
				o := e.accepted("a")
				next := full(o.ID)
				next.Version = 1
				swapped := e.swap(e.ops, next)
				want := next
				want.Version, want.Created, want.Updated = 2, o.Created, swapped.Updated
				e.is("Swap", swapped, want)
				e.is("Get", e.get(o.ID), want)
				if swapped.Updated.Before(o.Updated) {
					e.t.Errorf("updated at %v, and before that at %v", swapped.Updated, o.Updated)
				}

				third := e.swap(e.other, command.Operation{ID: o.ID, Version: 2, State: command.Running})
				want = command.Operation{ID: o.ID, Version: 3, State: command.Running, Created: o.Created, Updated: third.Updated}
				e.is("what isn't there any more", e.get(o.ID), want)
			},
		},
		{
			"SwapStale", "A swap of another version than the operation has is ErrConflict, and changes nothing.",
			func(e *env) {
				o := e.swap(e.ops, e.accepted("a"))
				for _, version := range []int64{0, 1, 3, -1, 1 << 40} {
					stale := full(o.ID)
					stale.Version = version
					_, err := e.other.Swap(e.ctx(), stale)
					e.fails("Swap", err, command.ErrConflict)
				}
				e.is("Get", e.get(o.ID), o)
			},
		},
		{
			"Fields", "All that is in an operation survives, of any kind and length.",
			func(e *env) {
				every := make([]byte, 256)
				for i := range every {
					every[i] = byte(i)
				}
				o := e.create(full(e.id("a")))
				for _, change := range []func(){
					func() { o.Result = &event.Result{ContentType: "image/png", Data: bytes.Repeat(every, 1024)} },
					func() { o.Result = &event.Result{ContentType: "text/plain"} },
					func() { o.Result = nil },
					func() { o.Problem = event.NewError("no", "") },
					func() { o.Problem = o.Problem.WithDetails([]any{1.5, "x", nil, map[string]int{}}) },
					func() { o.Problem, o.Progress = nil, nil },
					func() { o.Progress = &command.Stage{} },
					func() { o.Sent, o.Fingerprint, o.Subject, o.Tenant, o.Name = false, "", "", "", "" },
					func() { o.NotBefore, o.Expires, o.Attempt = o.Expires.AddDate(-300, 0, 0), o.NotBefore, 1<<31-1 },
				} {
					change()
					swapped := e.swap(e.ops, o)
					o.Version, o.Updated = o.Version+1, swapped.Updated
					e.is("Swap", swapped, o)
					e.is("Get", e.get(o.ID), o)
				}
			},
		},
		{
			"Shared", "What a store takes and returns shares nothing with what it keeps.",
			func(e *env) {
				spoil := func(o command.Operation) {
					o.Progress.Percent = 99
					copy(o.Result.Data, "spoiled")
					o.Result.ContentType = "text/spoiled"
					o.Problem.Code = "spoiled"
					copy(o.Problem.Details, "spoiled")
				}
				given, want := full(e.id("a")), full(e.id("a"))
				created := e.create(given)
				want.Version, want.Created, want.Updated = 1, created.Created, created.Updated
				spoil(given)
				e.is("the argument of Create was changed", e.get(want.ID), want)
				spoil(created)
				e.is("what Create returned was changed", e.get(want.ID), want)
				spoil(e.get(want.ID))
				e.is("what Get returned was changed", e.get(want.ID), want)
				existing, _ := e.other.Create(e.ctx(), command.Operation{ID: want.ID})
				spoil(existing)
				e.is("what a second Create returned was changed", e.get(want.ID), want)

				given = full(want.ID)
				given.Version = 1
				swapped := e.swap(e.ops, given)
				want.Version, want.Updated = 2, swapped.Updated
				spoil(given)
				e.is("the argument of Swap was changed", e.get(want.ID), want)
				spoil(swapped)
				e.is("what Swap returned was changed", e.get(want.ID), want)
			},
		},
		{
			"ChangeNothing", "A change that changes nothing is no new version.",
			func(e *env) {
				o := e.accepted("a")
				got, err := command.Change(e.ctx(), e.other, o.ID, func(*command.Operation) bool { return false })
				e.fails("Change", err, nil)
				e.is("Change", got, o)
				e.is("Get", e.get(o.ID), o)
			},
		},
		{
			"EndedContext", "A context that has ended is an error, and nothing is done.",
			func(e *env) {
				o := e.accepted("a")
				ctx, cancel := context.WithCancel(e.ctx())
				cancel()
				_, err := e.ops.Create(ctx, command.Operation{ID: e.id("b")})
				e.fails("Create", err, context.Canceled)
				_, err = e.ops.Get(ctx, o.ID)
				e.fails("Get", err, context.Canceled)
				_, err = e.ops.Swap(ctx, o)
				e.fails("Swap", err, context.Canceled)
				_, err = e.ops.Watch(ctx, o.ID, func() {})
				e.fails("Watch", err, context.Canceled)
				_, err = command.Change(ctx, e.ops, o.ID, func(*command.Operation) bool { return true })
				e.fails("Change", err, context.Canceled)
				e.is("Get", e.get(o.ID), o)
				_, err = e.other.Get(e.ctx(), e.id("b"))
				e.fails("Get of what wasn't created", err, command.ErrNoOperation)
			},
		},
	}
}
