package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// batches is an application that handles parcels in batches, and what it has seen.
type batches struct {
	handled map[string]int // by parcel: how many of its events, in order
	running map[string]context.Context
	alive   int
	broken  error
	mails   map[string]int // by id

	most  int // handlers at the same time
	sizes map[int]bool
}

func newBatches() *batches {
	return &batches{
		handled: map[string]int{}, running: map[string]context.Context{}, mails: map[string]int{}, sizes: map[int]bool{},
	}
}

// ship fails each second event of a parcel once.
func (s *batches) ship(b *bus.Bus) func(ctx context.Context, all []ParcelShipped) error {
	return func(ctx context.Context, all []ParcelShipped) error {
		s.sizes[len(all)] = true
		s.alive++
		s.most = max(s.most, s.alive)
		defer func() { s.alive-- }()
		for _, p := range all {
			if other := s.running[p.Parcel]; other != nil && other != ctx && other.Err() == nil {
				s.broken = fmt.Errorf("%v runs beside another of its key", p)
			}
			s.running[p.Parcel] = ctx //nolint:fatcontext // it is looked at, not built on
		}
		defer maps.DeleteFunc(s.running, func(_ string, of context.Context) bool { return of == ctx })
		for i := range all {
			bustest.Step(event.Element(ctx, i), "of one")
		}
		bustest.Step(ctx, "begun")
		failed := bus.BatchError{}
		stuck := map[string]bool{}
		for i, p := range all {
			own := event.Element(ctx, i)
			info, _ := event.FromContext(own)
			if stuck[p.Parcel] {
				continue
			}
			if at(p) > s.handled[p.Parcel]+1 {
				s.broken = fmt.Errorf("%v comes before the one before it is handled", p)
			}
			if info.Failures == 0 && at(p)%2 == 0 {
				failed[i], stuck[p.Parcel] = errors.New("once more"), true
				continue
			}
			s.handled[p.Parcel] = max(s.handled[p.Parcel], at(p))
			if err := b.Publish(own, MailSent{info.Event.ID()}); err != nil {
				return err
			}
		}
		if len(failed) > 0 {
			return failed
		}
		return nil
	}
}

// Of a key a batch has the events in order, and one batch at a time, whatever happens
// around it; and what is published because of an event is published once.
func TestBatchesKeepOrderInEverySchedule(t *testing.T) {
	for name, c := range map[string]struct {
		workers, inFlight, size int
		wait                    time.Duration
		sizes                   []int
	}{
		"waiting":     {1, 100, 100, time.Second, []int{1, 2, 3, 4, 5, 6}},
		"not waiting": {1, 100, 100, 0, []int{1, 2, 3, 4, 5, 6}},
		"small":       {8, 100, 2, time.Second, []int{1, 2}},
		"of one":      {8, 100, 1, time.Second, []int{1}},
		"crowded":     {8, 3, 3, time.Hour, []int{1, 2, 3}},
	} {
		t.Run(name, func(t *testing.T) {
			most, sizes := 0, map[int]bool{}
			bustest.Explore(t, func(w *bustest.World) {
				s := newBatches()
				s.sizes = sizes
				w.Handlers(func(b *bus.Bus) {
					bus.SubscribeBatch(b, "road", s.ship(b), bus.Workers(c.workers), bus.InFlight(c.inFlight), bus.Batch(c.size, c.wait))
					bus.Subscribe(b, "mailer", func(_ context.Context, m MailSent) error {
						s.mails[m.Order] = 1
						return nil
					})
				})
				for i := range 3 {
					w.Publish(ParcelShipped{"a", fmt.Sprint(i + 1)})
					w.Publish(ParcelShipped{"b", fmt.Sprint(i + 1)})
				}
				w.State(func() any { return s.mails })
				w.Invariant(func() error {
					most = max(most, s.most)
					if len(s.mails) != 6 {
						s.broken = errors.Join(s.broken, fmt.Errorf("mails: %v", s.mails))
					}
					return s.broken
				})
			}, bustest.Schedules(schedules()/20), bustest.Deviations(5))
			if most < 2 {
				t.Error("no two handlers ran at the same time")
			}
			for n := range 10 {
				if want := slices.Contains(c.sizes, n); sizes[n] != want {
					t.Errorf("a batch of %d: %v, want %v", n, sizes[n], want)
				}
			}
		})
	}
}

// The hash is written down, as those of schedules without batches are.
func TestSameSeedSameBatches(t *testing.T) {
	for _, parallel := range []int{1, 1, 8} {
		r := bustest.Search(t, func(w *bustest.World) {
			s := newBatches()
			w.Handlers(func(b *bus.Bus) {
				ship := s.ship(b)
				bus.SubscribeBatch(b, "road", func(ctx context.Context, all []ParcelShipped) error {
					done := ctx.Done()
					err := ship(ctx, all)
					select {
					case <-done:
						bustest.Step(ctx, "lost")
					default:
						bustest.Step(ctx, "done")
					}
					return err
				}, bus.Workers(2), bus.Batch(3, time.Minute))
			})
			for i := range 3 {
				w.Publish(ParcelShipped{"a", fmt.Sprint(i + 1)})
				w.Publish(ParcelShipped{"b", fmt.Sprint(i + 1)})
			}
			w.State(func() any { return s.handled })
		}, bustest.Schedules(2000), bustest.Parallel(parallel))
		if r.Failure != nil {
			t.Fatal(r.Failure)
		}
		if want := uint64(0xb1dc37e6dcf53e6e); r.Trace != want {
			t.Errorf("%d at a time: %#x, want %#x", parallel, r.Trace, want)
		}
	}
}

// A key that is parked while its events are in a batch, or come together for one, stays
// parked in every schedule.
func TestBatchesParkKeysInEverySchedule(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second} {
		bustest.Explore(t, func(w *bustest.World) {
			var app *bus.Bus
			done := map[string]bool{}
			w.Handlers(func(b *bus.Bus) {
				app = b
				bus.SubscribeBatch(b, "ledger", func(ctx context.Context, all []Move) error {
					bustest.Step(ctx, "begun")
					failed := bus.BatchError{}
					for i, v := range all {
						if v.Account == "a" && v.N == 2 {
							failed[i] = event.Permanent(errors.New("no such account"))
						}
					}
					for i, v := range all {
						if v.Account == "b" || v.N == 1 {
							done[idOfElement(ctx, i)] = true
						}
						bustest.Step(ctx, "done")
					}
					return failed
				}, bus.ParkKey(), bus.Workers(8), bus.Batch(4, wait))
			})
			for n := range 4 {
				w.Publish(Move{"a", n + 1})
				w.Publish(Move{"b", n + 1})
			}
			w.State(func() any { return done })
			w.Invariant(func() error { return parkedAre(app, "message-3", "message-5", "message-7") })
		}, bustest.Schedules(schedules()/20), bustest.Deviations(5))
	}
}
