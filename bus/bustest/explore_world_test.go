package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// deadLetters returns the texts of a group's dead letters.
func deadLetters(b *bus.Bus, group string) []string {
	texts := []string{}
	for d, err := range b.DeadLetters(context.Background(), group) {
		if err != nil {
			return []string{err.Error()}
		}
		texts = append(texts, d.Event.ID()+" "+d.Cause.Text)
	}
	return texts
}

// The World can look at the dead letters, and handlers can send them again.
func TestWorldsSeeDeadLetters(t *testing.T) {
	redriven := 0
	bustest.Explore(t, func(w *bustest.World) {
		var app *bus.Bus
		repaired := map[string]bool{}
		w.Config(func(c *bus.Config) { c.App = "shop" })
		w.Handlers(func(b *bus.Bus) {
			app = b
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				if !repaired[s.User] {
					return event.Permanent(errors.New("broken"))
				}
				return nil
			})
			bus.Subscribe(b, "operator", func(ctx context.Context, o OrderPlaced) error {
				repaired[o.ID] = true
				for d, err := range b.DeadLetters(ctx, "accounts") {
					if err != nil {
						return err
					}
					if d.Event.Key() == o.ID && b.Redrive(ctx, d) == nil {
						redriven++
					}
				}
				return nil
			})
		})
		w.Publish(Signup{"ada"}, bus.Key("ada"))
		w.Publish(Signup{"bob"}, bus.Key("bob"))
		w.Publish(OrderPlaced{"ada"}, bus.Delay(time.Hour))
		w.Invariant(func() error {
			left := deadLetters(app, "accounts")
			if !slices.Equal(left, []string{"message-2 permanent: broken"}) {
				return fmt.Errorf("dead letters: %q", left)
			}
			return nil
		})
	}, bustest.Schedules(2000))
	if redriven == 0 {
		t.Error("nothing was redriven")
	}
}

// A delayed event comes at its time or later, never earlier, whatever happens.
func TestDelayedEventsAreNeverEarly(t *testing.T) {
	late := false
	bustest.Explore(t, func(w *bustest.World) {
		began := time.Now()
		var broken error
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(_ context.Context, s Signup) error {
				if s.User == "late" && time.Since(began) < time.Hour {
					broken = fmt.Errorf("after %v", time.Since(began))
				}
				late = late || s.User == "late"
				return nil
			})
		})
		w.Publish(Signup{"late"}, bus.Delay(time.Hour))
		w.Publish(Signup{"ada"})
		w.Invariant(func() error { return broken })
	}, bustest.Schedules(2000))
	if !late {
		t.Error("the delayed event never came")
	}
}

// What a process keeps in memory is gone when it dies.
func TestMemoryIsLostInACrash(t *testing.T) {
	f := bustest.Search(t, func(w *bustest.World) {
		var inMemory map[string]int
		w.Handlers(func(b *bus.Bus) {
			inMemory = map[string]int{}
			bus.Subscribe(b, "accounts", func(_ context.Context, s Signup) error {
				inMemory[s.User] = 1
				return nil
			})
		})
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"})
		w.State(func() any { return inMemory })
	}).Failure
	if f == nil {
		t.Fatal("nothing found")
	}
}

// A panic of the World is a failure like others: with a story, and run again.
func TestPanicsOfTheWorldAreTold(t *testing.T) {
	for what, add := range map[string]func(w *bustest.World, look func() bool){
		"the World's State": func(w *bustest.World, look func() bool) { w.State(func() any { return look() }) },
		"an invariant": func(w *bustest.World, look func() bool) {
			w.Invariant(func() error { look(); return nil })
		},
	} {
		world := func(w *bustest.World) {
			var attempts []string
			w.Handlers(func(b *bus.Bus) {
				bus.Subscribe(b, "accounts", func(_ context.Context, s Signup) error {
					attempts = append(attempts, s.User)
					return nil
				})
			})
			w.Publish(Signup{"ada"})
			add(w, func() bool {
				only := [1]string{}
				return only[len(attempts)-1] == ""
			})
		}
		f := bustest.Search(t, world, bustest.Seed(3)).Failure
		if f == nil {
			t.Fatalf("%s: nothing found", what)
		}
		begin, end := what+" panics at explore_world_test.go:", ": runtime error: index out of range [1] with length 1"
		if !strings.HasPrefix(f.Why, begin) || !strings.HasSuffix(f.Why, end) {
			t.Errorf("got %q, want %s…%s", f.Why, begin, end)
		}
		if f.Seed != 3 || len(f.Steps) == 0 || f.Tree == "" {
			t.Errorf("want a story, with its seed, got %+v", f)
		}
		again := bustest.Search(t, world, bustest.Replay(f.Replay)).Failure
		if again == nil || again.Why != f.Why || again.Seed != 0 || again.Schedule != -1 {
			t.Errorf("again: %+v", again)
		}
	}
}

// What the doc of Explore says about the simulated broker.
func TestTheChannelCannotCancel(t *testing.T) {
	bustest.Explore(t, func(w *bustest.World) {
		wrong := ""
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				if _, err := b.Cancel(ctx, "any", "message-1"); !errors.Is(err, event.ErrNotSupported) {
					wrong = fmt.Sprint("Cancel: ", err)
				}
				if _, err := b.Lag(ctx); !errors.Is(err, event.ErrNotSupported) {
					wrong = fmt.Sprint("Lag: ", err)
				}
				return nil
			})
		})
		w.Publish(Signup{"ada"})
		w.Invariant(func() error {
			if wrong != "" {
				return errors.New(wrong)
			}
			return nil
		})
	}, bustest.Schedules(20))
}

// Ready events keep the ids that they were given; others are named by their place.
func TestMessagesHaveTheSameIDsInEveryRun(t *testing.T) {
	chosen := event.New("/elsewhere", "signup", []byte(`{}`)).WithID("chosen")
	random := event.New("/elsewhere", "signup", []byte(`{}`))
	var ids []string
	bustest.Explore(t, func(w *bustest.World) {
		seen := []string{}
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				if !slices.Contains(seen, idOf(ctx)) {
					seen = append(seen, idOf(ctx))
				}
				return nil
			})
		})
		w.Publish(chosen)
		w.Publish(random)
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"}, bus.ID("bobs"))
		w.State(func() any {
			ids = slices.Sorted(slices.Values(seen))
			return ids
		})
	}, bustest.Schedules(200))
	if want := []string{"bobs", "chosen", "message-2", "message-3"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
}

// guaranteed is a middleware that notes what it is promised.
type guaranteed struct{ durable *bool }

func (guaranteed) Wrap(next event.Handler) event.Handler { return next }

func (g guaranteed) CheckStart(_ event.Subscription, gives event.Guarantees) error {
	*g.durable = gives.Durable
	return nil
}

func TestTheChannelIsDurableForAnApp(t *testing.T) {
	for _, app := range []string{"", "shop"} {
		var durable bool
		bustest.Explore(t, func(w *bustest.World) {
			w.Config(func(c *bus.Config) {
				c.App, c.Middleware = app, []event.Middleware{guaranteed{&durable}}
			})
			w.Handlers(func(b *bus.Bus) {
				bus.Subscribe(b, "accounts", func(context.Context, Signup) error { return nil })
			})
			w.Publish(Signup{"ada"})
			w.State(func() any { return nil })
		}, bustest.Schedules(50))
		if durable != (app != "") {
			t.Errorf("App %q: durable %v", app, durable)
		}
	}
}
