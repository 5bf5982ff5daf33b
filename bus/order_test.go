package bus_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// keeping watches that events of a key are handled one at a time and in order.
type keeping struct {
	t       *testing.T
	runs    tally
	running map[string]int // by key
	next    map[string]int
	together,
	most int // handlers at once
}

func (k *keeping) begin(s Step) {
	k.runs.mu.Lock()
	defer k.runs.mu.Unlock()
	if k.running == nil {
		k.running, k.next = make(map[string]int), make(map[string]int)
	}
	if k.running[s.K]++; k.running[s.K] > 1 && s.K != "" {
		k.t.Errorf("two handlers run for key %s", s.K)
	}
	if s.N != k.next[s.K] {
		k.t.Errorf("key %s: event %d is handled, want %d", s.K, s.N, k.next[s.K])
	}
	k.together++
	k.most = max(k.most, k.together)
}

func (k *keeping) end(s Step, settled bool) {
	k.runs.mu.Lock()
	defer k.runs.mu.Unlock()
	k.running[s.K]--
	k.together--
	if settled {
		k.next[s.K]++
	}
}

// Events of a key come in order, one at a time, through failures, panics, dead
// letters and give-backs, with many workers and several members; different keys run
// at the same time.
func TestOrderOfKeys(t *testing.T) {
	for _, members := range []int{1, 3} {
		for _, inFlight := range []int{8, 512} {
			t.Run(fmt.Sprintf("%d members, %d in flight", members, inFlight), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					const keys, each = 12, 25
					k := &keeping{t: t}
					ch := memory.New()
					var buses []*bus.Bus
					for range members {
						b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
						bus.Subscribe(b, "g", func(ctx context.Context, s Step) error {
							k.begin(s)
							time.Sleep(rand.N(10 * time.Millisecond)) // virtual
							info, _ := event.FromContext(ctx)
							switch r := rand.IntN(10); {
							case r == 0:
								k.end(s, true)
								return event.Permanent(errBoom)
							case r == 1:
								k.end(s, false)
								return event.Postpone(rand.N(time.Hour), errBoom)
							case r <= 3 && info.Failures < 3:
								k.end(s, false)
								return errBoom
							}
							k.end(s, true)
							return nil
						}, bus.Workers(4), bus.InFlight(inFlight))
						start(t, b)
						buses = append(buses, b)
					}
					for n := range each {
						for key := range keys {
							publish(t, buses[0], Step{fmt.Sprint("k", key), n})
						}
					}
					quiet(t, ch)
					for key, n := range k.next {
						if n != each {
							t.Errorf("key %s: %d of %d were settled", key, n, each)
						}
					}
					if len(k.next) != keys || k.most <= members*2 {
						t.Errorf("%d keys, at most %d handlers at once", len(k.next), k.most)
					}
				})
			})
		}
	}
}

// Unordered events of one key, and those without a key, run at the same time, as
// many as there are workers.
func TestUnordered(t *testing.T) {
	for name, c := range map[string]struct {
		key     string
		opts    []bus.SubscribeOption
		workers int
		want    int
	}{
		"unordered":     {"k", []bus.SubscribeOption{bus.Unordered()}, 5, 5},
		"no key":        {"", nil, 5, 5},
		"ordered":       {"k", nil, 5, 1},
		"few in flight": {"", []bus.SubscribeOption{bus.InFlight(2)}, 5, 2},
	} {
		t.Run(name, func(t *testing.T) {
			var runs tally
			most, together := 0, 0
			inBubble(t, bus.Config{}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(context.Context, Step) error {
					runs.mu.Lock()
					together++
					most = max(most, together)
					runs.mu.Unlock()
					time.Sleep(time.Second) // virtual
					runs.mu.Lock()
					together--
					runs.mu.Unlock()
					return nil
				}, append(c.opts, bus.Workers(c.workers))...)
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				for range 20 {
					publish(t, b, Step{K: c.key})
				}
				quiet(t, ch)
				if most != c.want {
					t.Errorf("at most %d handlers at once, want %d", most, c.want)
				}
			})
		})
	}
}

// One worker is the default.
func TestOneWorkerByDefault(t *testing.T) {
	running := false
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(context.Context, Step) error {
			if running {
				t.Error("two handlers at once")
			}
			running = true
			time.Sleep(time.Second) // virtual
			running = false
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		for range 5 {
			publish(t, b, Step{})
		}
		quiet(t, ch)
	})
}

// A failing key waits with its successors, and blocks neither the worker nor other
// keys, nor its own key on another topic; a dead letter lets it go on.
func TestFailingKeyWaits(t *testing.T) {
	for name, opts := range map[string][]bus.SubscribeOption{
		"dead letter":    {bus.Retry(bus.Backoff{First: time.Hour, Max: time.Hour, Attempts: 5})},
		"blocks the key": {bus.Retry(bus.Backoff{First: time.Hour, Max: time.Hour, Attempts: 5}), bus.BlockKey()},
	} {
		t.Run(name, func(t *testing.T) {
			var runs, quick tally
			inBubble(t, bus.Config{}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
					n := runs.add(fmt.Sprint(s))
					if s.K == "bad" && s.N == 0 && (name == "dead letter" || n < 20) {
						return errBoom
					}
					return nil
				}, append(opts, bus.Topic("a"), bus.Topic("b"))...)
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				for n := range 3 {
					publish(t, b, Step{"bad", n}, bus.Topic("a"))
					publish(t, b, Step{"good", n}, bus.Topic("a"))
				}
				synctest.Wait()
				publish(t, b, Step{"bad", 9}, bus.Topic("b"))
				synctest.Wait()
				for _, s := range runs.names() {
					quick.add(s)
				}
				if len(quick.count) != 5 || quick.count["{good 2}"] != 1 || quick.count["{bad 9}"] != 1 || quick.count["{bad 1}"] != 0 {
					t.Errorf("at once: %v", quick.names())
				}
				quiet(t, ch)
				want := 20
				if name == "dead letter" {
					want = 5
				}
				if runs.count["{bad 0}"] != want || runs.count["{bad 2}"] != 1 {
					t.Errorf("runs %v", runs.count)
				}
				order := runs.names()
				if last := order[len(order)-3:]; fmt.Sprint(last) != "[{bad 0} {bad 1} {bad 2}]" {
					t.Errorf("the key went on with %v", last)
				}
				if dead := len(letters(t, b, "g")); dead != map[bool]int{true: 1}[name == "dead letter"] {
					t.Errorf("%d dead letters", dead)
				}
			})
		})
	}
}

// Delayed events come when they are due.
func TestDelayedEvents(t *testing.T) {
	var at []string
	began := time.Time{}
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(_ context.Context, s Step) error {
			at = append(at, fmt.Sprintf("%d after %v", s.N, time.Since(began)))
			return nil
		})
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		began = time.Now()
		publish(t, b, Step{N: 1}, bus.Delay(time.Hour))
		publish(t, b, Step{N: 2}, bus.At(began.Add(time.Minute)))
		publish(t, b, Step{N: 3}, bus.Delay(-time.Hour))
		quiet(t, ch)
		if fmt.Sprint(at) != "[3 after 0s 2 after 1m0s 1 after 1h0m0s]" {
			t.Error(at)
		}
	})
}
