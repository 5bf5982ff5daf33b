package operationstest

import (
	"errors"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/command"
)

func raceCases() []testCase {
	return []testCase{
		{"CreateRace", "Of any number who create an operation at a time one does, and the others get what it created.", createRace},
		{"SwapRace", "Of any number who swap the same version one does.", swapRace},
		{"ChangeRace", "Of all changes that are made at a time none is lost.", changeRace},
	}
}

func createRace(e *env) {
	const creators = 64
	var all sync.WaitGroup
	var created atomic.Int64
	got := make([]command.Operation, creators)
	for i := range creators {
		all.Go(func() {
			o, err := e.either(i).Create(e.ctx(), command.Operation{ID: e.id("a"), State: command.Accepted, Attempt: i})
			switch {
			case err == nil:
				created.Add(1)
			case !errors.Is(err, command.ErrExists):
				e.t.Errorf("Create: %v", err)
			}
			got[i] = o
		})
	}
	all.Wait()
	if created.Load() != 1 {
		e.t.Fatalf("%d of %d created it", created.Load(), creators)
	}
	want := e.get(e.id("a"))
	for _, o := range got {
		e.is("Create", o, want)
	}
}

func swapRace(e *env) {
	const swappers = 64
	o := e.accepted("a")
	var all sync.WaitGroup
	var swapped atomic.Int64
	for i := range swappers {
		all.Go(func() {
			mine := o
			mine.Attempt = i
			_, err := e.either(i).Swap(e.ctx(), mine)
			switch {
			case err == nil:
				swapped.Add(1)
			case !errors.Is(err, command.ErrConflict):
				e.t.Errorf("Swap: %v", err)
			}
		})
	}
	all.Wait()
	if got := e.get(o.ID); swapped.Load() != 1 || got.Version != 2 {
		e.t.Fatalf("%d of %d swapped it; it has version %d", swapped.Load(), swappers, got.Version)
	}
}

func changeRace(e *env) {
	const changers, each = 64, 5
	o := e.accepted("a")
	var all sync.WaitGroup
	for i := range changers {
		all.Go(func() {
			for range each {
				_, err := command.Change(e.ctx(), e.either(i), o.ID, func(o *command.Operation) bool {
					o.Attempt++
					return true
				})
				if err != nil {
					e.t.Errorf("Change: %v", err)
				}
			}
		})
	}
	all.Wait()
	if got := e.get(o.ID); got.Attempt != changers*each || got.Version != changers*each+1 {
		e.t.Fatalf("after %d changes it was changed %d times, and has version %d", changers*each, got.Attempt, got.Version)
	}
}
