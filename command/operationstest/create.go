package operationstest

import (
	"strconv"
	"strings"
	"time"

	"github.com/leat-go/leat/command"
)

func createCases() []testCase {
	return []testCase{
		{
			"Create", "A new operation has version 1 and the times of the store's clock, whatever came with it.",
			func(e *env) {
				o := full(e.id("a"))
				o.Version, o.Created, o.Updated = 7, time.Unix(1, 0), time.Unix(2, 0)
				created := e.create(o)
				want := o
				want.Version, want.Created, want.Updated = 1, created.Created, created.Created
				e.is("Create", created, want)
				if off := time.Since(created.Created).Abs(); off > time.Hour {
					e.t.Errorf("it was created now, and that was %v: %v off", created.Created, off)
				}
				e.is("Get", e.get(o.ID), want)
			},
		},
		{
			"Clock", "The times of the store are to the microsecond at least.",
			func(e *env) {
				for i := range 20 {
					e.pass(137 * time.Microsecond)
					o := e.get(e.accepted(strconv.Itoa(i)).ID)
					if o.Created.Truncate(time.Millisecond) != o.Created {
						return
					}
				}
				e.t.Error("the times of 20 operations are all to the millisecond")
			},
		},
		{
			"CreateAgain", "Of an id that there is, Create returns the operation as it is, and ErrExists, and changes nothing.",
			func(e *env) {
				first := e.create(full(e.id("a")))
				second := command.Operation{ID: first.ID, Name: "other", State: command.Accepted}
				got, err := e.other.Create(e.ctx(), second)
				e.fails("Create again", err, command.ErrExists)
				e.is("Create again", got, first)

				first.State, first.Attempt = command.Retrying, 9
				first = e.swap(e.ops, first)
				got, err = e.other.Create(e.ctx(), second)
				e.fails("Create after a change", err, command.ErrExists)
				e.is("Create after a change", got, first)
				e.is("Get", e.get(first.ID), first)
			},
		},
		{
			"Ids", "Operations are the same only if their ids are.",
			func(e *env) {
				long := strings.Repeat("x", 255-len(e.name))
				ids := []string{
					"a", "A", "a ", " a", "a:", ":a", "a:id", "{a}", "{}", "}{", "{", "}", "%7B", "a%", "*", "?", "[a]", "a/b", "a\nb",
					"ü", "u\u0308", "'", `"`, `\`, long[1:] + "1", long[1:] + "2",
				}
				for i, id := range ids {
					e.create(command.Operation{ID: e.id(id), State: command.Accepted, Attempt: i})
					e.create(command.Operation{ID: id + e.name, State: command.Accepted, Attempt: -i})
				}
				for i, id := range ids {
					if o := e.get(e.id(id)); o.ID != e.id(id) || o.Attempt != i {
						e.t.Errorf("%q is %q, number %d, not %d", e.id(id), o.ID, o.Attempt, i)
					}
					if o := e.get(id + e.name); o.ID != id+e.name || o.Attempt != -i {
						e.t.Errorf("%q is %q, number %d, not %d", id+e.name, o.ID, o.Attempt, -i)
					}
				}
			},
		},
		{
			"Unknown", "An operation that never was is ErrNoOperation.",
			func(e *env) {
				id := e.id("a")
				_, err := e.ops.Get(e.ctx(), id)
				e.fails("Get", err, command.ErrNoOperation)
				for _, version := range []int64{0, 1} {
					_, err = e.ops.Swap(e.ctx(), command.Operation{ID: id, State: command.Running, Version: version})
					e.fails("Swap", err, command.ErrNoOperation)
				}
				_, err = command.Change(e.ctx(), e.ops, id, func(*command.Operation) bool { return true })
				e.fails("Change", err, command.ErrNoOperation)
				_, err = e.other.Get(e.ctx(), id)
				e.fails("Get after that", err, command.ErrNoOperation)
			},
		},
	}
}
