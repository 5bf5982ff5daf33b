package bustest_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

// welcomeLater is a World in which much time passes, and in which something goes wrong
// when limit is not 0: more welcomes.
func welcomeLater(wait time.Duration, limit int) func(w *bustest.World) {
	return func(w *bustest.World) {
		welcomed := 0
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				return b.Publish(ctx, Welcome(s), bus.Delay(wait))
			})
			bus.Subscribe(b, "mailer", func(context.Context, Welcome) error { welcomed++; return nil })
		})
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"})
		w.State(func() any { return limit > 0 && welcomed > limit })
	}
}

const years = 365 * 24 * time.Hour

// The clock of a bubble ends in 2262: neither the schedules of a search nor those that
// make its failure short reach that, however many there are.
func TestLongDelaysAreNoOtherThanShortOnes(t *testing.T) {
	want := bustest.Search(t, welcomeLater(time.Hour, 0), bustest.Schedules(500))
	for _, parallel := range []int{1, 4} {
		for _, wait := range []time.Duration{years, 10 * years} {
			got := bustest.Search(t, welcomeLater(wait, 0), bustest.Schedules(500), bustest.Parallel(parallel))
			if got != want {
				t.Errorf("%d at a time, %v: %+v, want %+v", parallel, wait, got, want)
			}
		}
	}
	story := func(wait time.Duration) *bustest.Failure {
		f := bustest.Search(t, welcomeLater(wait, 2)).Failure
		if f == nil {
			t.Fatal("nothing found")
		}
		return f
	}
	short, long := story(time.Hour), story(10*years)
	if long.Replay != short.Replay || long.Schedule != short.Schedule || len(long.Steps) != len(short.Steps) {
		t.Errorf("got %v\nwant %v", long, short)
	}
	if again := bustest.Search(t, welcomeLater(10*years, 2), bustest.Replay(long.Replay)).Failure; again == nil || again.Tree != long.Tree {
		t.Errorf("again: %v\nwant %v", again, long)
	}
}

// A schedule that needs more than a hundred years is one that never settles.
func TestSchedulesEndAfterAHundredYears(t *testing.T) {
	f := bustest.Search(t, func(w *bustest.World) {
		w.Handlers(func(b *bus.Bus) {
			attempts := 0
			bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
				if attempts++; attempts == 1 {
					return nil
				}
				return b.Publish(ctx, Welcome(s), bus.Delay(101*years))
			})
			bus.Subscribe(b, "mailer", func(context.Context, Welcome) error { return nil })
		})
		w.Publish(Signup{"ada"})
		w.State(func() any { return nil })
	}).Failure
	want := `it never settles: after 100 years of virtual time welcome `
	if f == nil || !strings.HasPrefix(f.Why, want) || !strings.HasSuffix(f.Why, `is still not settled in group "mailer"`) {
		t.Fatalf("got %v, want %s", f, want)
	}
}
