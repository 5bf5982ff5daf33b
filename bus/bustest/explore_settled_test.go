package bustest_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// Something follows a settlement only in the process that settled: what another one
// settled, when the lease was lost before the handler began, is dropped.
func TestWhatOthersSettleIsDropped(t *testing.T) {
	lostUpdate := func(w *bustest.World) {
		total := 0
		seen := map[string]bool{}
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "stock", func(ctx context.Context, s ItemSold) error {
				if seen[idOf(ctx)] {
					return nil
				}
				read := total
				bustest.Step(ctx, "read")
				total = read + len(s.SKU)
				seen[idOf(ctx)] = true
				return nil
			})
		})
		w.Publish(ItemSold{"1"}, bus.Key("a"))
		w.Publish(ItemSold{"22"}, bus.Key("b"))
		w.State(func() any { return total })
	}
	told := ""
	for seed := range uint64(20) {
		f := bustest.Search(t, lostUpdate, bustest.Seed(seed)).Failure
		if f == nil {
			t.Fatalf("seed %d: nothing found", seed)
		}
		told += f.String() + "\n"
	}
	if strings.Contains(told, "what follows the settlement") {
		t.Errorf("nothing follows a settlement here:\n%s", told)
	}
	if want := `drops item-sold message-2, whose lease is lost`; !strings.Contains(told, want) {
		t.Errorf("want %q in one of:\n%s", want, told)
	}
}

// A dead letter is settled too.
func TestWhatFollowsADeadLetterIsTold(t *testing.T) {
	followed := 0
	happens(t, func(w *bustest.World) {
		followed = 0
		w.Handlers(func(b *bus.Bus) {
			bus.Subscribe(b, "accounts", func(ctx context.Context, _ Signup) error {
				if err := event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { followed++ }); err != nil {
					return err
				}
				return event.Permanent(errors.New("nobody is there"))
			})
		})
		w.Publish(Signup{"ada"})
		w.Publish(Signup{"bob"})
		w.Invariant(func() error {
			if followed == 1 {
				return errors.New("it happened")
			}
			return nil
		})
	},
		`process 1: group "accounts" runs what follows the settlement of signup message-1`,
		`dies, with what follows the settlement of signup message-2 not done`)
}
