package operationstest

import (
	"context"
	"strconv"
	"sync"

	"github.com/leat-go/leat/command"
)

func crowdCases() []testCase {
	return []testCase{
		{"WatchThenChange", "From when Watch returned on, no change goes unnoticed.", watchThenChange},
		{"WatchAgain", "That holds also where others stop watching the same at the time.", watchAgain},
		{"WatchGivenUp", "That holds also after somebody gave up waiting for Watch to return.", watchGivenUp},
		{"WatchRace", "That holds for any number who come and go.", watchRace},
		{"ManyWatchOne", "1,000 who watch an operation are woken.", manyWatchOne},
		{"ManyAreWatched", "Who watch 1,000 operations are woken, each by its own.", manyAreWatched},
	}
}

func watchThenChange(e *env) {
	for i := range 200 {
		o := e.accepted(strconv.Itoa(i))
		w := e.watch(e.other, o.ID)
		e.swap(e.ops, o)
		w.woken("a swap at once")
		w.stop()
	}
}

func watchAgain(e *env) {
	o := e.accepted("a")
	last := e.watch(e.other, o.ID)
	for range 200 {
		last.stop()
		last = e.watch(e.other, o.ID)
		o = e.swap(e.ops, o)
		last.woken("a swap")
	}
}

func watchGivenUp(e *env) {
	o := e.accepted("a")
	for range 200 {
		ctx, cancel := context.WithCancel(e.ctx())
		go cancel()
		if stop, err := e.other.Watch(ctx, o.ID, func() {}); err == nil {
			stop()
		}
		w := e.watch(e.other, o.ID)
		o = e.swap(e.ops, o)
		w.woken("a swap")
		w.stop()
	}
}

func watchRace(e *env) {
	const watchers, ids, rounds = 32, 4, 25
	for i := range ids {
		e.accepted(strconv.Itoa(i))
	}
	var all sync.WaitGroup
	for i := range watchers {
		all.Go(func() {
			for range rounds {
				e.watchAndChange(e.id(strconv.Itoa(i % ids)))
			}
		})
	}
	all.Wait()
}

func manyWatchOne(e *env) {
	o := e.accepted("a")
	all := make([]*watch, 1000)
	for i := range all {
		all[i] = e.watch(e.other, o.ID)
	}
	for range 3 {
		o = e.swap(e.ops, o)
		for _, w := range all {
			w.woken("a swap")
		}
	}
}

func manyAreWatched(e *env) {
	all, is := make([]*watch, 1000), make([]command.Operation, 1000)
	for i := range all {
		is[i] = e.accepted(strconv.Itoa(i))
		all[i] = e.watch(e.other, is[i].ID)
	}
	for i, w := range all {
		if i%2 == 0 {
			e.swap(e.ops, is[i])
			w.woken("a swap")
		}
	}
	for i, w := range all {
		if n := w.count.Load(); i%2 == 1 && n > 1 { // one may come without a change
			e.t.Fatalf("number %d didn't change, and who watches it was woken %d times", i, n)
		}
	}
}

// watchAndChange watches an operation, changes it, and waits to be woken.
func (e *env) watchAndChange(id string) {
	w := &watch{e: e, id: id, news: make(chan struct{}, 1)}
	stop, err := e.other.Watch(e.ctx(), id, w.wake)
	if err != nil {
		e.t.Errorf("Watch: %v", err)
		return
	}
	defer stop()
	_, err = command.Change(e.ctx(), e.ops, id, func(o *command.Operation) bool {
		o.Attempt++
		select { // only what is told from here on counts
		case <-w.news:
		default:
		}
		return true
	})
	if err != nil {
		e.t.Errorf("Change: %v", err)
		return
	}
	if !w.soon() {
		e.t.Errorf("who watches %q isn't woken", id)
	}
}
