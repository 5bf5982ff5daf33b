package bustest

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
)

// mistaken returns the error of an exploration that can't be done.
func mistaken(t *testing.T, setup func(w *World), opts ...ExploreOption) string {
	t.Helper()
	x := newExploration(setup, opts)
	x.t = t
	_, err := x.report(opts)
	if err == nil {
		t.Fatal("no error")
	}
	return err.Error()
}

// handling makes a World with a handler and a message, or what is left of it.
func handling(handle func(ctx context.Context, d booking) error, opts ...bus.SubscribeOption) func(w *World) {
	return func(w *World) {
		w.Handlers(func(b *bus.Bus) { bus.Subscribe(b, "ledger", handle, opts...) })
		w.Publish(booking{"alice", 100})
		w.State(func() any { return nil })
	}
}

func succeed(context.Context, booking) error { return nil }

func TestMistakesAreTold(t *testing.T) {
	chance := 0
	for name, c := range map[string]struct {
		setup func(w *World)
		opts  []ExploreOption
		want  string
	}{
		"no handlers": {func(w *World) { handling(succeed)(w); w.handlers = nil }, nil, "the World has no Handlers"},
		"nothing to see": {
			func(w *World) { handling(succeed)(w); w.state = nil },
			nil, "neither a State nor an Invariant",
		},
		"no messages":   {func(w *World) { handling(succeed)(w); w.publishes = nil }, nil, "the World publishes nothing"},
		"no schedules":  {handling(succeed), []ExploreOption{Schedules(0)}, "Schedules(0)"},
		"few schedules": {handling(succeed), []ExploreOption{Schedules(-1)}, "Schedules(-1)"},
		"no deviations": {handling(succeed), []ExploreOption{Deviations(0)}, "Deviations(0)"},
		"no searchers":  {handling(succeed), []ExploreOption{Parallel(0)}, "Parallel(0)"},
		"start": {
			func(w *World) {
				handling(succeed)(w)
				w.Handlers(func(b *bus.Bus) { bus.Subscribe(b, "", succeed) })
			},
			nil, `bus: start: group "": bus: empty group`,
		},
		"refused publish": {
			func(w *World) { handling(succeed)(w); w.Publish(booking{"bob", 1}, bus.Topic("no topic")) },
			nil, `the publish of message-2, a bustest.booking, is refused: bus: publish booking: bus: topic "no topic"`,
		},
		"invariant": {
			func(w *World) {
				handling(succeed)(w)
				w.Invariant(func() error { return errors.New("one cent is missing") })
			},
			nil, "the undisturbed run fails: an invariant is broken: one cent is missing",
		},
		"panic in State": {
			func(w *World) { handling(succeed)(w); w.State(func() any { panic("too late") }) },
			nil, "the undisturbed run fails: the World's State panics at explore_mistakes_test.go:",
		},
		"livelock": {
			handling(func(context.Context, booking) error { return errors.New("never") }, bus.BlockKey()),
			nil, "the undisturbed run fails: it never settles: after 20000 choices there is still something to do\nwhat happened:\n" +
				"  0s booking key=alice (message-1)\n    0s ledger/booking attempt 1: retried: never\n",
		},
		"a delay of centuries": {
			func(w *World) { handling(succeed)(w); w.Publish(booking{"bob", 1}, bus.Delay(math.MaxInt64)) },
			nil, "the undisturbed run fails: it never settles: after 100 years of virtual time " +
				"booking message-2 is still not settled in group \"ledger\"\nwhat happened:\n",
		},
		"handlers that take years": {
			func(w *World) {
				handling(succeed)(w)
				w.Handlers(func(b *bus.Bus) {
					bus.Subscribe(b, "ledger", func(ctx context.Context, d booking) error {
						time.Sleep(10 * 365 * 24 * time.Hour) // virtual
						return b.Publish(ctx, d)
					})
				})
			},
			nil, "the undisturbed run fails: it never settles: after 100 years of virtual time booking ",
		},
		"chance": {
			func(w *World) { handling(succeed)(w); chance++; now := chance; w.State(func() any { return now }) },
			nil, "two undisturbed runs are not the same",
		},
		"goroutine": {
			handling(func(ctx context.Context, _ booking) error {
				done := make(chan struct{})
				go func() {
					defer close(done)
					Step(ctx, "astray")
				}()
				<-done
				return nil
			}),
			nil, "step astray in a handler for booking message-1 comes from another goroutine than the handler's",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := mistaken(t, c.setup, c.opts...); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestLivelockIsToldShort(t *testing.T) {
	never := func(context.Context, booking) error { return errors.New("never") }
	if n := strings.Count(mistaken(t, handling(never, bus.BlockKey())), "\n"); n > longest+5 {
		t.Errorf("%d lines", n)
	}
}

func TestSeedOfTheEnvironment(t *testing.T) {
	t.Setenv(ExploreSeedVariable, "7")
	trace := func(opts ...ExploreOption) uint64 { return Search(t, smallWorld, append(opts, Schedules(50))...).Trace }
	if trace() != trace(Seed(7)) || trace() == trace(Seed(1)) {
		t.Error("the variable doesn't choose the seed, or not behind the option")
	}
	t.Setenv(ExploreSeedVariable, "x")
	if err := newExploration(smallWorld, nil).environment(); err == nil || !strings.Contains(err.Error(), `BUSTEST_SEED="x": want a number`) {
		t.Errorf("got %v", err)
	}
}
