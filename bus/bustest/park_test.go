package bustest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// parking is a member of group g on topic t, without a bus.
type parking struct {
	*endpoint

	t    *testing.T
	m    event.Consumer
	lost []event.Token
}

func inParking(t *testing.T, f func(p *parking)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := &parking{endpoint: newEndpoint(newBroker(newSymbols())), t: t}
		var err error
		p.m, err = p.Consumer(t.Context(), event.Subscription{Group: "g", Topics: []string{"t"}, OnLost: func(lost []event.Token) {
			p.lost = append(p.lost, lost...)
		}})
		if err != nil {
			t.Fatal(err)
		}
		f(p)
	})
}

func keyEvent(id string) event.Event {
	return event.New("/test", "moved", nil).WithID(id).WithKey("k")
}

// accept produces events of the key k.
func (p *parking) accept(ids ...string) {
	for _, id := range ids {
		p.b.accept("t", keyEvent(id))
	}
}

// receive returns deliveries; some of them begin.
func (p *parking) receive(begin ...int) (ds []event.Delivery, ctxs []context.Context) {
	p.t.Helper()
	ds = make([]event.Delivery, 10)
	n, err := p.m.Receive(p.t.Context(), ds)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, i := range begin {
		ctx, ok := p.m.Begin(ds[i].Token)
		if !ok {
			p.t.Fatalf("%s may not begin", ds[i].Event.ID())
		}
		ctxs = append(ctxs, ctx)
	}
	return ds[:n], ctxs
}

func (p *parking) settle(s event.Settlement) {
	p.t.Helper()
	if err := p.m.Settle(p.t.Context(), []event.Settlement{s}); err != nil {
		p.t.Fatal(err)
	}
}

// letters returns the dead letters, which have to be these.
func (p *parking) letters(ids ...string) []event.DeadLetter {
	p.t.Helper()
	var got []string
	var all []event.DeadLetter
	for d, err := range p.DeadLetters(p.t.Context(), "t", "g") {
		if err != nil {
			p.t.Fatal(err)
		}
		got, all = append(got, d.Event.ID()), append(all, d)
	}
	if !slices.Equal(got, ids) {
		p.t.Fatalf("dead letters: %q, want %q", got, ids)
	}
	return all
}

// What comes of a parked key is behind it for whoever looks, also when no member
// receives.
func TestParkedKeysAreUpToDate(t *testing.T) {
	for name, look := range map[string]func(p *parking, front event.DeadLetter){
		"DeadLetters": func(p *parking, _ event.DeadLetter) { p.letters("1", "2") },
		"Discard": func(p *parking, front event.DeadLetter) {
			if err := p.Discard(p.t.Context(), front); err != nil {
				p.t.Fatal(err)
			}
			if ds, _ := p.receive(); len(ds) > 0 {
				p.t.Errorf("%s is delivered: the next is in front now", ds[0].Event.ID())
			}
			p.letters("2")
		},
		"RedriveKey": func(p *parking, _ event.DeadLetter) {
			if n, err := p.RedriveKey(p.t.Context(), "t", "g", "k"); n != 2 || err != nil {
				p.t.Errorf("got %d, %v", n, err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inParking(t, func(p *parking) {
				p.accept("1")
				ds, _ := p.receive(0)
				p.settle(event.Park(ds[0].Token, event.Cause{}))
				front := p.letters("1")[0]
				p.accept("2")
				look(p, front)
			})
		})
	}
}

// What has begun may end, however it does: if it is not acked, it goes behind, and has
// been attempted.
func TestWhatHasBegunGoesBehindAtItsEnd(t *testing.T) {
	for name, end := range map[string]func(p *parking, token event.Token){
		"held":    func(p *parking, token event.Token) { p.m.Hold(token, 1) },
		"retried": func(p *parking, token event.Token) { p.settle(event.Retry(token, time.Hour, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			inParking(t, func(p *parking) {
				p.accept("1", "2", "3")
				ds, ctxs := p.receive(0, 1)
				p.settle(event.Park(ds[0].Token, event.Cause{Handler: "h"}))
				want := event.Cause{Code: event.CodeParkedBehind, Text: "waits behind 1 of the same key", Handler: "h"}
				if got := p.letters("1", "3")[1].Cause; got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				lost := []event.Token{ds[2].Token}
				end(p, ds[1].Token)
				if _, ok := p.m.Begin(ds[1].Token); ok {
					t.Error("it may begin once more")
				}
				want.Attempts, want.Failures = 1, 1
				if got := p.letters("1", "3", "2")[2].Cause; got != want {
					t.Errorf("got %+v, want %+v", got, want)
				}
				if name == "held" {
					lost = append(lost, ds[1].Token)
					if cause := context.Cause(ctxs[1]); !errors.Is(cause, event.ErrLeaseLost) {
						t.Errorf("its context ended with %v", cause)
					}
				}
				if !slices.Equal(p.lost, lost) {
					t.Errorf("OnLost was told of %v, want %v", p.lost, lost)
				}
			})
		})
	}
}

func TestDelayedEventsGoBehindWhenTheyAreDue(t *testing.T) {
	inParking(t, func(p *parking) {
		p.accept("1")
		p.b.accept("t", keyEvent("2").WithNotBefore(time.Now().Add(time.Hour)))
		ds, _ := p.receive(0)
		p.settle(event.Park(ds[0].Token, event.Cause{}))
		p.letters("1")
		time.Sleep(time.Hour) // virtual
		p.letters("1", "2")
	})
}

func TestRepairedEvents(t *testing.T) {
	inParking(t, func(p *parking) {
		p.accept("1")
		ds, _ := p.receive(0)
		p.settle(event.Dead(ds[0].Token, event.Cause{}))
		d := p.letters("1")[0]
		if err := p.Redrive(t.Context(), d, keyEvent("1")); err == nil {
			t.Error("a repaired event with the id of the failed one is not refused")
		}
		if err := p.Redrive(t.Context(), d, keyEvent("a"), keyEvent("b")); err == nil {
			t.Error("two repaired events are not refused")
		}
		p.letters("1")
		if err := p.Redrive(t.Context(), d, keyEvent("a").WithExtension(event.ExtCausationID, "x")); err != nil {
			t.Fatal(err)
		}
		ds, _ = p.receive()
		if cause := ds[0].Event.Extension(event.ExtCausationID); cause != "1" {
			t.Errorf("its cause is %q, not the failed event", cause)
		}
	})
}

// parkedWorld has a key that is parked with its second event.
func parkedWorld(w *World) {
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "ledger", func(_ context.Context, d booking) error {
			if d.Cents < 0 {
				return event.Permanent(errors.New("less than nothing"))
			}
			return nil
		}, bus.ParkKey())
	})
	w.Publish(booking{"alice", 1})
	w.Publish(booking{"alice", -1})
	w.Publish(booking{"alice", 2})
	w.Invariant(func() error { return nil })
}

// What is in hand is taken away with the Park: that the bus drops it is told no more.
// What comes again of a parked key would never be delivered, so it doesn't come.
func TestParkedKeysAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newExploration(parkedWorld, nil)
		defer x.pool.drain()
		if err := x.learn(); err != nil {
			t.Fatal(err)
		}
		var open []deviation
		story := newTale(x.symbols)
		if r, err := x.run(nil, schedule{eager: true, open: &open}, story, true); err != nil || r.err != nil {
			t.Fatal(err, r.err)
		}
		want := []string{
			`0s process 1: group "ledger" handles booking message-1, attempt 1: returns nil`,
			`0s process 1: group "ledger" handles booking message-2, attempt 1: dead: permanent: less than nothing`,
			`0s booking message-3 goes behind booking message-2 in group "ledger": the key is parked`,
		}
		if !slices.Equal(story.steps, want) {
			t.Errorf("got %q", story.steps)
		}
		repeats := func(d deviation) bool { return d.do.kind == actRepeat }
		if !slices.ContainsFunc(open, repeats) {
			t.Error("nothing ever comes again")
		}
		if end := open[len(open)-1].at; end.kind != actEnd || slices.ContainsFunc(open, func(d deviation) bool { return d.at == end && repeats(d) }) {
			t.Errorf("at the end, %v, something of the parked key may come again", end)
		}
	})
}

// The broker moves what is behind by itself, also while no member receives.
func TestParkedKeysOfAPausedGroupSettle(t *testing.T) {
	paused := func(w *World) {
		parkedWorld(w)
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "ledger", func(_ context.Context, d booking) error {
				if d.Cents > 0 {
					return nil
				}
				if err := b.Pause("ledger"); err != nil {
					return err
				}
				return event.Permanent(errors.New("nobody is there"))
			}, bus.ParkKey())
		})
	}
	synctest.Test(t, func(t *testing.T) {
		x := newExploration(paused, nil)
		defer x.pool.drain()
		if err := x.learn(); err != nil {
			t.Error(err)
		}
	})
}
