package bustest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// happens fails the test unless some schedule makes the World tell an error, with the
// parts in its story, one after the other.
func happens(t *testing.T, world func(w *bustest.World), parts ...string) {
	t.Helper()
	var f *bustest.Failure
	for seed := range uint64(200) {
		if f = bustest.Search(t, world, bustest.Schedules(200), bustest.Seed(seed)).Failure; f != nil && tells(f, parts) {
			return
		}
	}
	t.Fatalf("it doesn't happen, or not so: %q\n%v", parts, f)
}

func tells(f *bustest.Failure, parts []string) bool {
	story := strings.Join(f.Steps, "\n")
	for _, part := range parts {
		i := strings.Index(story, part)
		if i < 0 {
			return false
		}
		story = story[i:]
	}
	return true
}

// pipeline is a World in which a Signup is welcomed on two topics, and whose counts
// tell where a process died.
type pipeline struct {
	begun, returned, after int
	welcomes, sold         int
}

func (p *pipeline) world(broken func() bool) func(w *bustest.World) {
	return func(w *bustest.World) {
		*p = pipeline{}
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				p.begun++
				bustest.Step(ctx, "begun")
				if err := event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { p.after++ }); err != nil {
					return err
				}
				if err := b.Publish(ctx, Welcome(s)); err != nil {
					return err
				}
				if err := b.Publish(ctx, ItemSold{s.User}); err != nil {
					return err
				}
				p.returned++
				return nil
			})
			bus.Subscribe(b, "mailer", func(context.Context, Welcome) error { p.welcomes++; return nil })
			bus.Subscribe(b, "stock", func(context.Context, ItemSold) error { p.sold++; return nil })
		})
		w.Publish(Signup{"ada"})
		w.Invariant(func() error {
			if broken() {
				return errors.New("it happened")
			}
			return nil
		})
	}
}

func TestProcessesDieBetweenAnyTwoSteps(t *testing.T) {
	var p pipeline
	for name, c := range map[string]struct {
		broken func() bool
		story  []string
	}{
		"at a step": {
			func() bool { return p.begun == 2 && p.returned == 1 },
			[]string{`up to step "begun"`, "process 1 dies, with signup message-1 not settled", "attempt 2"},
		},
		"before what it published is accepted": {
			func() bool { return p.returned == 2 && p.welcomes == 1 && p.sold == 1 },
			[]string{"up to the publish of welcome", "process 1 dies", "attempt 2"},
		},
		"between two topics": {
			func() bool { return p.returned == 2 && p.welcomes == 2 && p.sold == 1 },
			[]string{"up to the publish of item-sold", "process 1 dies", "attempt 2"},
		},
		"before the ack": {
			func() bool { return p.after == 1 && p.returned == 2 && p.welcomes == 2 && p.sold == 2 },
			[]string{"attempt 1: returns nil", "process 1 dies, with signup message-1 not settled", "attempt 2"},
		},
		"after the ack": {
			func() bool { return p.after == 0 && p.returned == 1 },
			[]string{"attempt 1: returns nil", "process 1 dies, with what follows the settlement of signup message-1 not done"},
		},
	} {
		t.Run(name, func(t *testing.T) { happens(t, p.world(c.broken), c.story...) })
	}
}

// attempts is a World of one event, whose handler can say that it happened.
func attempts(handle func(ctx context.Context, info event.Info) error) func(w *bustest.World) {
	return func(w *bustest.World) {
		var broken error
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				info, _ := event.FromContext(ctx)
				err := handle(ctx, info)
				if errors.Is(err, errHappened) {
					broken, err = err, nil
				}
				return err
			}, bus.Retry(bus.Backoff{First: time.Hour, Max: time.Hour}))
		})
		w.Publish(Signup{"ada"})
		w.Invariant(func() error { return broken })
	}
}

var errHappened = errors.New("it happened")

func TestProcessDiesBeforeAHandlerBegins(t *testing.T) {
	happens(t, attempts(func(_ context.Context, info event.Info) error {
		if info.Attempt == 2 && info.Failures == 0 {
			return errHappened
		}
		return nil
	}), "process 1 dies, with signup message-1 not settled", "process 2: group \"accounts\" handles signup message-1, attempt 2")
}

func TestLeasesAreLostWhileAHandlerRuns(t *testing.T) {
	running := 0
	world := attempts(func(ctx context.Context, _ event.Info) error {
		running++
		defer func() { running-- }()
		bustest.Step(ctx, "running")
		if running > 1 {
			return errHappened
		}
		return nil
	})
	happens(t, func(w *bustest.World) { running = 0; world(w) },
		`process 1: group "accounts" handles signup message-1, attempt 1, up to step "running"`,
		`process 1 loses the lease of signup message-1`, `process 2: group "accounts"`)
}

func TestRetriesWaitTheirTimeAndCountFailures(t *testing.T) {
	tries, last := 0, time.Time{}
	world := attempts(func(ctx context.Context, info event.Info) error {
		tries++
		if info.Attempt != tries || info.Failures != tries-1 || tries > 1 && time.Since(last) != time.Hour {
			return errHappened
		}
		last = time.Now()
		if tries < 4 {
			return errors.New("once more")
		}
		return nil
	})
	// Without a fault it never happens; the undisturbed run alone would say so.
	bustest.Search(t, func(w *bustest.World) { tries = 0; world(w) }, bustest.Schedules(1))
}

func TestAckedEventsComeAgain(t *testing.T) {
	var p pipeline
	happens(t, p.world(func() bool { return p.after == 2 && p.begun == 2 && p.returned == 2 }),
		"attempt 1: returns nil", "signup message-1 is delivered to group \"accounts\" once more", "attempt 2: returns nil")
}

func TestDeadLettersAreCompared(t *testing.T) {
	f := bustest.Search(t, attempts(func(_ context.Context, info event.Info) error {
		if info.Attempt > 1 {
			return event.Permanent(errors.New("I have seen that"))
		}
		return nil
	})).Failure
	const want = "the dead letters differ from those of the undisturbed run:\n" +
		"  signup message-1 in group \"accounts\"\n  undisturbed: none\n"
	if f == nil || !strings.HasPrefix(f.String(), want) {
		t.Errorf("got %v, want %s", f, want)
	}
}

func TestWhatNeverSettlesIsTold(t *testing.T) {
	f := bustest.Search(t, func(w *bustest.World) {
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				if info, _ := event.FromContext(ctx); info.Attempt > 1 {
					return errors.New("stuck")
				}
				return nil
			}, bus.BlockKey())
		})
		w.Publish(Signup{"ada"})
		w.State(func() any { return nil })
	}).Failure
	if f == nil || !strings.HasPrefix(f.Why, "it never settles: after ") {
		t.Errorf("got %v", f)
	}
}

// Another process joins, and two handlers of a group with one worker run at the same
// time, though no lease was lost.
func TestProcessesJoin(t *testing.T) {
	happens(t, func(w *bustest.World) {
		running, most := map[string]bool{}, 0
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				running[s.User] = true
				defer delete(running, s.User)
				most = max(most, len(running))
				bustest.Step(ctx, "running")
				return nil
			}, bus.InFlight(1))
		})
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"})
		w.Invariant(func() error {
			if most > 1 {
				return errHappened
			}
			return nil
		})
	}, "another process starts", "process 2", "process 1", "(goes on)")
}

func TestTimePassesEarly(t *testing.T) {
	happens(t, func(w *bustest.World) {
		order := ""
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(_ context.Context, s Signup) error {
				order += s.User
				return nil
			})
		})
		w.Publish(Signup{"late"}, bus.Delay(time.Hour))
		w.Publish(Signup{"ada"})
		w.Invariant(func() error {
			if order == "lateada" {
				return errHappened
			}
			return nil
		})
	}, "time passes", "message-1", "message-2")
}

// Keys that wait for a retry are given back when they fill the window, as on any bus.
func TestKeysAreGivenBack(t *testing.T) {
	bustest.Explore(t, func(w *bustest.World) {
		done := map[string]bool{}
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(_ context.Context, s Signup) error {
				if s.User == "ada" && !done["bob"] {
					return errors.New("after bob")
				}
				done[s.User] = true
				return nil
			}, bus.InFlight(1), bus.BlockKey())
		})
		w.Publish(Signup{"ada"}, bus.Key("ada"))
		w.Publish(Signup{"bob"}, bus.Key("bob"))
		w.State(func() any { return done })
	})
}

// A handler that is overtaken once stays behind until nothing else is left to do.
func TestHandlersStall(t *testing.T) {
	f := bustest.Search(t, func(w *bustest.World) {
		var running string
		var broken error
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				running = s.User
				for range 3 {
					bustest.Step(ctx, "running")
				}
				if s.User == "ada" && running == "bob has ended" && ctx.Err() == nil { // its lease is not lost
					broken = errHappened
				}
				running = s.User + " has ended"
				return nil
			}, bus.Workers(2))
		})
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"})
		w.Invariant(func() error { return broken })
	}, bustest.Deviations(1)).Failure
	if f == nil {
		t.Error("no handler ends while another is suspended, with one deviation")
	}
}

// What is published again is told once.
func TestTreesTellPublishesOnce(t *testing.T) {
	var p pipeline
	f := bustest.Search(t, p.world(func() bool { return p.welcomes == 2 && p.returned == 2 })).Failure
	if f == nil {
		t.Fatal("it doesn't happen")
	}
	if strings.Count(f.Tree, " welcome (") != 1 || !strings.Contains(f.Tree, "), published 2 times\n") {
		t.Errorf("got:\n%s", f.Tree)
	}
}
