package bustest_test

import (
	"context"
	"reflect"
	"testing"

	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// The classics_*_test.go show the classic bugs of handlers: each with the story in
// which Explore tells it, as the output of an Example, and the handler that has it no
// more.

// idOf returns the id of the event that is being handled: the same in each attempt.
func idOf(ctx context.Context) string {
	info, _ := event.FromContext(ctx)
	return info.Event.ID()
}

// schedules is how many a handler without a bug has to pass.
func schedules() int {
	if raceEnabled || testing.Short() {
		return 10_000
	}
	return 100_000
}

// Whatever the seed, each bug is found within the default number of schedules, its
// story is short, and the schedule can be run again, by number and as it is written.
func TestClassicBugsAreFound(t *testing.T) {
	for name, buggy := range map[string]func(w *bustest.World){
		"effect before dedupe":              chargeThenRemember,
		"ack before commit":                 commitAfterAck,
		"counter that is not idempotent":    countAttempts,
		"order assumed across keys":         shipKnownOrders,
		"publish outside handler's context": publishOutside,
		"publish under another key":         invoicesByOrder,
		"batch inserted twice":              insertRows,
		"batch known by its first event":    insertBatchOnce,
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				f := bustest.Search(t, buggy, bustest.Seed(seed)).Failure
				if f == nil {
					t.Fatalf("seed %d: not found", seed)
				}
				if f.Schedule >= 1000 || len(f.Steps) > 5 {
					t.Errorf("seed %d: schedule %d, a story of %d steps\n%v", seed, f.Schedule, len(f.Steps), f)
				}
				only := bustest.Search(t, buggy, bustest.Seed(seed), bustest.Only(f.Schedule)).Failure
				if !reflect.DeepEqual(only, f) {
					t.Errorf("seed %d: again by number:\n%v\nwant:\n%v", seed, only, f)
				}
				alone := bustest.Search(t, buggy, bustest.Replay(f.Replay)).Failure
				if alone == nil {
					t.Fatalf("seed %d: %q does not fail", seed, f.Replay)
				}
				if alone.Seed, alone.Schedule = f.Seed, f.Schedule; !reflect.DeepEqual(alone, f) {
					t.Errorf("seed %d: again as written:\n%v\nwant:\n%v", seed, alone, f)
				}
			}
		})
	}
}
