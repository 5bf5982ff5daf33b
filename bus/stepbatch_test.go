package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Stroll is handled in batches of its own.
type Stroll struct{ Dog, Place string }

// packs notes batches, and answers as it is told.
type packs struct {
	got    []string
	answer error
}

func (p *packs) walk(_ context.Context, all []Walk) error {
	p.got = append(p.got, fmt.Sprint(all))
	return p.answer
}

// walkingTogether is walking with batches of at most size; b may get more handlers.
func walkingTogether(t *testing.T, p *packs, size int, wait time.Duration, more func(b *bus.Bus), f func(t *testing.T, b *bus.Bus, s *bus.Stepper), opts ...bus.SubscribeOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{App: "park", Channel: patientChannel{memory.New()}})
		bus.SubscribeBatch(b, "walker", p.walk, append(opts, bus.Batch(size, wait))...)
		if more != nil {
			more(b)
		}
		s, err := b.StartStepper(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f(t, b, s)
	})
}

func (p *packs) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(p.got, want) {
		t.Errorf("batches %q, want %q", p.got, want)
	}
}

func TestStepperRunsFullBatches(t *testing.T) {
	var p packs
	walkingTogether(t, &p, 3, time.Hour, nil, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"ada", "1"})
		fetchAll(t, s, 2)
		if s.Runnable(0) != 0 {
			t.Fatal("runnable before it is full")
		}
		publishWalks(t, b, Walk{"rex", "2"}, Walk{"ada", "2"})
		fetchAll(t, s, 2)
		if n := s.Runnable(0); n != 1 {
			t.Fatalf("%d runnable", n)
		}
		tokens := s.Batch(0, 0)
		if len(tokens) != 3 || tokens[0] != s.Ready(0, 0) || tokens[0] == tokens[1] {
			t.Fatalf("tokens %v, ready %v", tokens, s.Ready(0, 0))
		}
		s.Run(0, 0)
		p.want(t, "[{rex 1} {rex 2} {ada 1}]") // keys together
		if got, pending := s.Pending(0); !pending || got != tokens[0] {
			t.Fatalf("pending %v %v, want %v", got, pending, tokens[0])
		}
		s.Settle(0)
		if s.Runnable(0) != 0 {
			t.Fatal("the rest is runnable, and not full")
		}
	})
}

func TestStepperRunsBatchesWhoseWaitIsOver(t *testing.T) {
	var p packs
	walkingTogether(t, &p, 3, time.Second, nil, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		if _, held := s.Due(); held {
			t.Fatal("due, and nothing is there")
		}
		publishWalks(t, b, Walk{"rex", "1"})
		fetchAll(t, s, 1)
		due, held := s.Due()
		if !held || time.Until(due) != time.Second {
			t.Fatalf("due %v %v", time.Until(due), held)
		}
		time.Sleep(time.Second - 1) // virtual
		publishWalks(t, b, Walk{"ada", "1"})
		fetchAll(t, s, 1)
		if at, _ := s.Due(); s.Runnable(0) != 0 || !at.Before(due.Add(1)) {
			t.Fatalf("due at %v; want that of the first, %v", at, due)
		}
		time.Sleep(time.Until(due)) // virtual
		if s.Runnable(0) != 0 {
			t.Fatal("runnable before Settle made it ready")
		}
		s.Settle(0)
		if s.Runnable(0) != 1 || len(s.Batch(0, 0)) != 2 {
			t.Fatal("not runnable at its time")
		}
		s.Run(0, 0)
		p.want(t, "[{rex 1} {ada 1}]")
		s.Settle(0)
	})
}

func TestStepperIsDueWithTheFirstBatch(t *testing.T) {
	more := func(b *bus.Bus) {
		none := func(context.Context, []Stroll) error { return nil }
		bus.SubscribeBatch(b, "walker", none, bus.Batch(3, time.Second))
		bus.SubscribeBatch(b, "minute", none, bus.Batch(3, time.Minute))
	}
	walkingTogether(t, new(packs), 3, time.Hour, more, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"})
		if err := b.Publish(t.Context(), Stroll{"ada", "1"}); err != nil {
			t.Fatal(err)
		}
		due := func(want time.Duration) {
			t.Helper()
			if at, held := s.Due(); !held || time.Until(at).Round(10*time.Millisecond) != want {
				t.Errorf("due %v in %v, want %v", held, time.Until(at), want)
			}
		}
		if n, err := s.Fetch(t.Context(), 1); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		due(time.Minute)
		fetchAll(t, s, 2)
		due(time.Second)
		time.Sleep(time.Second) // virtual
		s.Settle(0)
		due(time.Minute - time.Second)
		time.Sleep(time.Minute) // virtual
		s.Settle(1)
		due(time.Hour - time.Minute - time.Second)
	})
}

// A batch that doesn't wait is what there is when it is run.
func TestStepperRunsBatchesThatDoNotWait(t *testing.T) {
	var p packs
	walkingTogether(t, &p, 3, 0, nil, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"})
		fetchAll(t, s, 1)
		if _, held := s.Due(); held || s.Runnable(0) != 1 || len(s.Batch(0, 0)) != 1 {
			t.Fatal("want a batch of one, that waits for nothing")
		}
		publishWalks(t, b, Walk{"ada", "1"})
		fetchAll(t, s, 1)
		if n, tokens := s.Runnable(0), s.Batch(0, 0); n != 1 || len(tokens) != 2 || tokens[0] != s.Ready(0, 0) {
			t.Fatalf("%d runnable, of %v the first is %v", n, tokens, s.Ready(0, 0))
		}
		s.Run(0, 0)
		p.want(t, "[{rex 1} {ada 1}]")
		s.Settle(0)
		if s.Runnable(0) != 0 {
			t.Error("something is left")
		}
	})
}

// What is ready goes first, as with workers; batches of other handlers can be chosen.
func TestStepperChoosesAmongBatches(t *testing.T) {
	var strolls, single []string
	type Nap struct{ Dog string }
	more := func(b *bus.Bus) {
		bus.SubscribeBatch(b, "walker", func(_ context.Context, all []Stroll) error {
			strolls = append(strolls, fmt.Sprint(all))
			return nil
		}, bus.Batch(3, 0))
		bus.Subscribe(b, "walker", func(_ context.Context, n Nap) error {
			single = append(single, n.Dog)
			return nil
		})
	}
	var p packs
	walkingTogether(t, &p, 3, 0, more, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"})
		for _, v := range []any{Stroll{"ada", "1"}, Nap{"rex"}} {
			if err := b.Publish(t.Context(), v); err != nil {
				t.Fatal(err)
			}
		}
		fetchAll(t, s, 3)
		if s.Runnable(0) != 1 || s.Batch(0, 0) != nil {
			t.Fatal("want the delivery that is no batch alone")
		}
		s.Run(0, 0)
		if !slices.Equal(single, []string{"rex"}) || s.Runnable(0) != 2 || s.Ready(0, 0) == s.Ready(0, 1) {
			t.Fatalf("single %v, then %d runnable", single, s.Runnable(0))
		}
		s.Run(0, 1)
		if !slices.Equal(strolls, []string{"[{ada 1}]"}) {
			t.Fatalf("strolls %v", strolls)
		}
		s.Run(0, 0)
		p.want(t, "[{rex 1}]")
		s.Settle(0)
	})
}

// Where the window is full and nothing else goes on, nothing more can come together.
func TestStepperRunsBatchesThatCannotGrow(t *testing.T) {
	more := func(b *bus.Bus) {
		bus.SubscribeBatch(b, "walker", func(context.Context, []Stroll) error { return nil }, bus.Batch(3, time.Hour))
	}
	var p packs
	walkingTogether(t, &p, 3, time.Hour, more, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"ada", "1"})
		fetchAll(t, s, 2)
		if s.Runnable(0) != 0 {
			t.Fatal("runnable while there is room for more")
		}
		if err := b.Publish(t.Context(), Stroll{"ada", "1"}); err != nil {
			t.Fatal(err)
		}
		fetchAll(t, s, 1)
		if s.Runnable(0) != 2 {
			t.Fatalf("%d runnable, want both batches", s.Runnable(0))
		}
		if err := b.Pause("walker"); err != nil {
			t.Fatal(err)
		}
		if s.Runnable(0) != 0 {
			t.Error("a paused group hands over what waits")
		}
		if err := b.Resume("walker"); err != nil {
			t.Fatal(err)
		}
		s.Run(0, 0)
		p.want(t, "[{rex 1} {ada 1}]")
		if s.Runnable(0) != 0 {
			t.Error("runnable though a settlement will make room")
		}
		s.Settle(0)
	}, bus.InFlight(3))
}

// Room that can be made by giving back comes before.
func TestStepperGivesBackBeforeBatchesCannotGrow(t *testing.T) {
	var p packs
	walkingTogether(t, &p, 3, time.Hour, nil, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		p.answer = errors.New("rain")
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"ada", "1"}, Walk{"bob", "1"})
		fetchAll(t, s, 3)
		s.Run(0, 0)
		publishWalks(t, b, Walk{"eve", "1"})
		fetchAll(t, s, 1)
		if s.Room(0) != 0 || !s.Crowded(0) || s.Runnable(0) != 0 {
			t.Fatalf("room %d, crowded %v, %d runnable", s.Room(0), s.Crowded(0), s.Runnable(0))
		}
		s.GiveBack(0)
		if s.Room(0) == 0 || s.Runnable(0) != 0 {
			t.Errorf("room %d, %d runnable", s.Room(0), s.Runnable(0))
		}
	}, bus.InFlight(4), bus.Retry(bus.Backoff{First: time.Minute}))
}

func TestStepperSettlesEachOfABatch(t *testing.T) {
	var p packs
	walkingTogether(t, &p, 3, 0, nil, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		p.answer = bus.BatchError{0: errors.New("rain")}
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"rex", "2"}, Walk{"ada", "1"})
		room := s.Room(0)
		fetchAll(t, s, 3)
		s.Run(0, 0)
		s.Settle(0)
		if s.Room(0) != room-2 {
			t.Errorf("room %d of %d; want that of ada alone", s.Room(0), room)
		}
		p.answer = nil
		at, _ := s.Due()
		time.Sleep(time.Until(at)) // virtual
		s.Settle(0)
		s.Run(0, 0)
		s.Settle(0)
		p.want(t, "[{rex 1} {rex 2} {ada 1}]", "[{rex 1} {rex 2}]")
		if s.Room(0) != room {
			t.Errorf("room %d of %d", s.Room(0), room)
		}
	})
}
