package bus_test

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// patient is a memory channel on which a Receive returns 0 instead of waiting.
type patientChannel struct{ *memory.Channel }

func (c patientChannel) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	inner, err := c.Channel.Consumer(ctx, s)
	return patientConsumer{inner}, err
}

type patientConsumer struct{ event.Consumer }

func (c patientConsumer) Receive(ctx context.Context, buf []event.Delivery) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond) // virtual
	defer cancel()
	n, err := c.Consumer.Receive(ctx, buf)
	if errors.Is(err, context.DeadlineExceeded) {
		return 0, nil
	}
	return n, err
}

type Walk struct{ Dog, Place string }

func (w Walk) EventKey() string { return w.Dog }

// walking runs f, in a bubble, with the Stepper of a group that handles Walks. The
// bubble fails the test when a goroutine is left behind.
func walking(t *testing.T, handle func(ctx context.Context, w Walk) error, f func(t *testing.T, b *bus.Bus, s *bus.Stepper), opts ...bus.SubscribeOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{App: "park", Channel: patientChannel{memory.New()}})
		bus.Subscribe(b, "walker", handle, opts...)
		s, err := b.StartStepper(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		f(t, b, s)
	})
}

func publishWalks(t *testing.T, b *bus.Bus, walks ...Walk) {
	t.Helper()
	for _, w := range walks {
		if err := b.Publish(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
}

func fetchAll(t *testing.T, s *bus.Stepper, want int) {
	t.Helper()
	n, err := s.Fetch(t.Context(), 0)
	if n != want || err != nil {
		t.Fatalf("Fetch: %d, %v; want %d", n, err, want)
	}
}

func TestStepperDoesWhatItIsTold(t *testing.T) {
	var done []string
	walking(t, func(_ context.Context, w Walk) error {
		done = append(done, w.Dog+w.Place)
		return nil
	}, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		if s.Groups() != 1 || s.Group(0) != "walker" {
			t.Fatalf("%d groups, the first is %q", s.Groups(), s.Group(0))
		}
		fetchAll(t, s, 0)
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"rex", "2"}, Walk{"ada", "1"})
		if n := s.Runnable(0); n != 0 {
			t.Fatalf("%d runnable before a Fetch", n)
		}
		room := s.Room(0)
		fetchAll(t, s, 3)
		if n := s.Runnable(0); n != 2 || s.Room(0) != room-3 {
			t.Fatalf("%d runnable, room %d of %d; want the fronts of two keys", n, s.Room(0), room)
		}
		second := s.Ready(0, 1)
		s.Run(0, 1)
		if !slices.Equal(done, []string{"ada1"}) || s.Runnable(0) != 1 {
			t.Fatalf("done %v, %d runnable", done, s.Runnable(0))
		}
		if token, pending := s.Pending(0); !pending || token != second {
			t.Fatalf("pending %v %v, want %v", token, pending, second)
		}
		s.Run(0, 0)
		if s.Runnable(0) != 0 {
			t.Fatal("a key goes on before its first is settled")
		}
		s.Settle(0)
		if _, pending := s.Pending(0); pending {
			t.Fatal("something is to be settled after Settle")
		}
		s.Run(0, 0)
		s.Settle(0)
		if !slices.Equal(done, []string{"ada1", "rex1", "rex2"}) || s.Runnable(0) != 0 || s.Room(0) != room {
			t.Errorf("done %v, %d runnable, room %d of %d", done, s.Runnable(0), s.Room(0), room)
		}
	})
}

func TestStepperFetchesEightAtMost(t *testing.T) {
	walking(t, func(context.Context, Walk) error { return nil }, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		for range 10 {
			publishWalks(t, b, Walk{"rex", "1"})
		}
		fetchAll(t, s, 8)
		fetchAll(t, s, 2)
	})
	walking(t, func(context.Context, Walk) error { return nil }, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		for range 10 {
			publishWalks(t, b, Walk{"rex", "1"})
		}
		fetchAll(t, s, 3)
		fetchAll(t, s, 0)
	}, bus.InFlight(3))
}

// Handlers that are suspended take their worker.
func TestStepperHasAsManyWorkersAsTheGroup(t *testing.T) {
	var yield func(struct{}) bool
	walking(t, func(context.Context, Walk) error {
		yield(struct{}{})
		return nil
	}, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"a", "1"}, Walk{"b", "1"}, Walk{"c", "1"})
		fetchAll(t, s, 3)
		suspended := func() (resume func()) {
			next, _ := iter.Pull(func(y func(struct{}) bool) {
				yield = y
				s.Run(0, 0)
			})
			next()
			return func() { next() }
		}
		first := suspended()
		if n := s.Runnable(0); n != 2 {
			t.Errorf("%d runnable beside one handler", n)
		}
		second := suspended()
		if n := s.Runnable(0); n != 0 {
			t.Errorf("%d runnable though both workers are busy", n)
		}
		first()
		if n := s.Runnable(0); n != 1 {
			t.Errorf("%d runnable after one handler has ended", n)
		}
		second()
		s.Settle(0)
	}, bus.Workers(2))
}

func TestStepperWaitsTheLongestTimeOfABackoff(t *testing.T) {
	fail := true
	walking(t, func(context.Context, Walk) error {
		if fail {
			return errors.New("rain")
		}
		return nil
	}, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"})
		fetchAll(t, s, 1)
		if _, held := s.Due(); held {
			t.Fatal("held before it ran")
		}
		for _, wait := range []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute} {
			s.Run(0, 0)
			at, held := s.Due()
			if !held || time.Until(at) != wait {
				t.Fatalf("held %v, due in %v; want %v", held, time.Until(at), wait)
			}
			time.Sleep(wait - 1) // virtual
			s.Settle(0)
			if s.Runnable(0) != 0 {
				t.Fatal("runnable before its time")
			}
			time.Sleep(time.Nanosecond) // virtual
			s.Settle(0)
			if s.Runnable(0) != 1 {
				t.Fatal("not runnable at its time")
			}
		}
		fail = false
		s.Run(0, 0)
		s.Settle(0)
	}, bus.Retry(bus.Backoff{First: time.Minute, Max: 3 * time.Minute}))
}

func TestStepperGivesKeysBack(t *testing.T) {
	walking(t, func(_ context.Context, w Walk) error {
		if w.Dog == "rex" {
			return errors.New("rain")
		}
		return nil
	}, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"}, Walk{"ada", "1"})
		fetchAll(t, s, 1)
		if s.Crowded(0) {
			t.Fatal("crowded by what can run")
		}
		s.Run(0, 0)
		if !s.Crowded(0) || s.Room(0) != 0 {
			t.Fatal("not crowded by a delivery that waits")
		}
		s.GiveBack(0)
		if _, held := s.Due(); held || s.Crowded(0) || s.Room(0) != 1 {
			t.Fatal("not given back")
		}
		fetchAll(t, s, 1) // ada's
	}, bus.InFlight(1))
}

func TestStepperHeedsPause(t *testing.T) {
	walking(t, func(context.Context, Walk) error { return nil }, func(t *testing.T, b *bus.Bus, s *bus.Stepper) {
		publishWalks(t, b, Walk{"rex", "1"})
		if err := b.Pause("walker"); err != nil {
			t.Fatal(err)
		}
		fetchAll(t, s, 0)
		if err := b.Resume("walker"); err != nil {
			t.Fatal(err)
		}
		fetchAll(t, s, 1)
	})
}

func TestStepperTellsMistakesAsStartDoes(t *testing.T) {
	b := bus.New(bus.Config{})
	if _, err := b.StartStepper(t.Context()); err == nil || err.Error() != "bus: start: Config.Channel is nil" {
		t.Errorf("got %v", err)
	}
	b = bus.New(bus.Config{Channel: memory.New()})
	if _, err := b.StartStepper(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.StartStepper(t.Context()); err == nil {
		t.Error("started twice")
	}
	if err := b.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
}
