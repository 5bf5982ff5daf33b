package operationstest

import (
	"context"
)

func watchCases() []testCase {
	return []testCase{
		{
			"Watch", "Who watches is woken after each change, of any handle.",
			func(e *env) {
				o := e.accepted("a")
				mine, others := e.watch(e.ops, o.ID), e.watch(e.other, o.ID)
				for i := range 20 {
					o = e.swap(e.either(i), o)
					mine.woken("a swap")
					others.woken("a swap")
				}
			},
		},
		{
			"WatchBefore", "Who watches an operation that there isn't yet is woken when it is created, and when it changes.",
			func(e *env) {
				w := e.watch(e.other, e.id("a"))
				o := e.accepted("a")
				w.woken("it was created")
				e.swap(e.ops, o)
				w.woken("a swap")
			},
		},
		{
			"WatchContext", "The context of Watch bounds that call alone.",
			func(e *env) {
				o := e.accepted("a")
				ctx, cancel := context.WithCancel(e.ctx())
				w := &watch{e: e, id: o.ID, news: make(chan struct{}, 1)}
				stop, err := e.other.Watch(ctx, o.ID, w.wake)
				e.fails("Watch", err, nil)
				defer stop()
				cancel()
				e.swap(e.ops, o)
				w.woken("the context ended before the swap")
			},
		},
		{
			"Stop", "Who stopped is woken no more, and others are.",
			func(e *env) {
				o := e.accepted("a")
				gone, stays := e.watch(e.other, o.ID), e.watch(e.other, o.ID)
				gone.stop()
				gone.stop()
				for range 10 {
					o = e.swap(e.ops, o)
					stays.woken("a swap")
				}
				if n := gone.count.Load(); n > 0 {
					e.t.Errorf("it was woken %d times after it had stopped", n)
				}
			},
		},
		{
			"StopInWake", "Who is woken may stop.",
			func(e *env) {
				o := e.accepted("a")
				w, ready := &watch{e: e, id: o.ID, news: make(chan struct{}, 1)}, make(chan struct{})
				stop, err := e.other.Watch(e.ctx(), o.ID, func() {
					<-ready
					w.stop()
					w.wake()
				})
				e.fails("Watch", err, nil)
				w.stop = stop
				close(ready)
				e.swap(e.ops, o)
				w.woken("a swap")
			},
		},
	}
}
