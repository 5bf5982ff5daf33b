package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// busyWorld has all that could make a difference from run to run: retries with
// jitter, random ids and what is derived from them, delays, several keys and groups.
func busyWorld(workers int) func(w *bustest.World) {
	return func(w *bustest.World) {
		handled := map[string]bool{}
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				bustest.Step(ctx, "begin")
				info, _ := event.FromContext(ctx)
				if info.Failures < 2 {
					return errors.New("not yet")
				}
				handled[s.User] = true
				if err := b.Publish(context.Background(), Welcome(s)); err != nil {
					return err
				}
				bustest.Step(ctx, "welcomed")
				return b.Publish(ctx, ItemSold{s.User})
			}, bus.Workers(workers))
			bus.Subscribe(b, "mailer", func(ctx context.Context, m Welcome) error {
				bustest.Step(ctx, "begin")
				handled["welcome "+m.User] = true
				return b.Publish(ctx, MailSent{m.User}) // its id derives from a random one
			}, bus.Workers(workers))
			bus.Subscribe(b, "archive", func(ctx context.Context, m MailSent) error {
				bustest.Step(ctx, "begin")
				handled["mail "+m.Order] = true
				return nil
			}, bus.Workers(workers))
		})
		for i := range 5 {
			w.Publish(Signup{fmt.Sprint("user", i)}, bus.Key(fmt.Sprint(i%3)), bus.Delay(time.Duration(i%2)*time.Minute))
		}
		w.State(func() any { return handled })
	}
}

// The hashes are written down, so that they are the same under the race detector, on
// every machine and with every version of Go. What changes schedules changes them.
func TestSameSeedSameSchedules(t *testing.T) {
	for _, c := range []struct {
		workers int // of the groups: with more of them other things can happen
		seed    uint64
		trace   uint64
	}{
		{1, 1, 0xc0cd288e638d14a2},
		{1, 2, 0x5b5ad0d83937b3f2},
		{8, 1, 0x6e76f76deb7021a3},
		{8, 2, 0x317a8a2ecdff410b},
	} {
		for _, parallel := range []int{1, 1, 8} {
			r := bustest.Search(t, busyWorld(c.workers), bustest.Seed(c.seed), bustest.Schedules(300), bustest.Parallel(parallel))
			if r.Failure != nil {
				t.Fatal(r.Failure)
			}
			if r.Schedules != 300 {
				t.Errorf("%d schedules", r.Schedules)
			}
			if r.Trace != c.trace {
				t.Errorf("%d workers, seed %d, %d at a time: %#x, want %#x", c.workers, c.seed, parallel, r.Trace, c.trace)
			}
		}
	}
}

// However many search, it is the first schedule that fails that is told, and the rest
// is not tried.
func TestParallelFindsTheSame(t *testing.T) {
	for seed := range uint64(10) {
		one := bustest.Search(t, chargeThenRemember, bustest.Seed(seed))
		if many := bustest.Search(t, chargeThenRemember, bustest.Seed(seed), bustest.Parallel(8)); !reflect.DeepEqual(many, one) {
			t.Errorf("seed %d: %+v, want %+v", seed, many, one)
		}
		if one.Schedules != one.Failure.Schedule+1 {
			t.Errorf("%d schedules tried, and the first that failed is %d", one.Schedules, one.Failure.Schedule)
		}
	}
}

func TestOnlyTriesOneScheduleAgain(t *testing.T) {
	first := bustest.Search(t, chargeThenRemember, bustest.Seed(5)).Failure
	if first == nil || first.Schedule == 0 {
		t.Fatalf("want a failure that is not the first schedule, got %v", first)
	}
	again := bustest.Search(t, chargeThenRemember, bustest.Seed(first.Seed), bustest.Only(first.Schedule))
	if again.Schedules != 1 || again.Failure == nil || again.Failure.String() != first.String() {
		t.Errorf("%d schedules\n%v\nwant:\n%v", again.Schedules, again.Failure, first)
	}
	before := bustest.Search(t, chargeThenRemember, bustest.Seed(5), bustest.Only(first.Schedule-1))
	if before.Failure != nil {
		t.Errorf("the schedule before it fails too: %v", before.Failure)
	}
}

func TestSchedulesDeviateAsOftenAsTold(t *testing.T) {
	deaths := func(deviations int) int {
		most, processes := 0, 0
		bustest.Explore(t, func(w *bustest.World) {
			most, processes = max(most, processes), 0
			w.Handlers(func(b *bus.Bus) {
				processes++
				bus.Subscribe(b, "mailer", func(context.Context, Welcome) error { return nil })
			})
			w.Publish(Welcome{"ada"})
			w.State(func() any { return nil })
		}, bustest.Deviations(deviations), bustest.Schedules(2000))
		return most - 1
	}
	for _, n := range []int{1, 2, 4} {
		if got := deaths(n); got != n {
			t.Errorf("Deviations(%d): up to %d processes died or joined", n, got)
		}
	}
}
