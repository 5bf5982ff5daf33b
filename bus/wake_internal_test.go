package bus

import "testing"

// Who takes something to do, or fetches, wakes another for what is left, of whatever kind:
// the token that it took may have stood for that, too.
func TestWakesTheNext(t *testing.T) {
	left := map[string]func(*group){
		"ready":                func(g *group) { g.ready.push(new(item)) },
		"a batch with no wait": func(g *group) { g.gatherings[0].first.push(new(item)) },
	}
	takes := map[string]func(*worker){
		"fetches": func(w *worker) {
			w.g.mu.Lock()
			w.g.vacant = true
			w.fetch()
		},
		"works": func(w *worker) {
			first := new(item)
			rest := w.g.ready.pop()
			if w.g.ready.push(first); rest != nil {
				w.g.ready.push(rest)
			}
			if got := w.exchange(nil, actNone); got != first {
				t.Errorf("it works on %v, want %v", got, first)
			}
		},
	}
	for what, leave := range left {
		for how, take := range takes {
			for idle, want := range map[int]int{0: 0, 1: 1} {
				g := &group{wake: make(chan struct{}, 1), gatherings: []*gathering{{max: 2}}, idle: idle}
				leave(g)
				take(&worker{g: g})
				if got := len(g.wake); got != want {
					t.Errorf("it %s, %s is left, %d idle: %d woken, want %d", how, what, idle, got, want)
				}
			}
		}
	}
}
