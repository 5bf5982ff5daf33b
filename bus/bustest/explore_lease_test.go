package bustest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// leaseWorld has a handler that fails once.
func leaseWorld(w *World) {
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "ledger", func(ctx context.Context, _ booking) error {
			Step(ctx, "begin")
			if info, _ := event.FromContext(ctx); info.Failures == 0 {
				return errors.New("once more")
			}
			return nil
		}, bus.Retry(bus.Backoff{First: time.Hour}))
	})
	w.Publish(booking{"alice", 100})
	w.Invariant(func() error { return nil })
}

func TestLeasesAreLostInAnyState(t *testing.T) {
	for name, c := range map[string]struct {
		when actionKind
		want []string
	}{
		"not begun": {actRun, []string{
			`0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`0s process 1: group "ledger" drops booking message-1, whose lease is lost`,
			`0s process 2: group "ledger" handles booking message-1, attempt 2: retried: once more`,
			`1h0m0s process 2: group "ledger" handles booking message-1, attempt 3: returns nil`,
		}},
		"running": {actContinue, []string{
			`0s process 1: group "ledger" handles booking message-1, attempt 1, up to step "begin"`,
			`0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`0s process 2: group "ledger" handles booking message-1, attempt 2: retried: once more`,
			`0s process 1: group "ledger" handles booking message-1 (goes on) to its end, for nothing: the lease is lost`,
			`1h0m0s process 2: group "ledger" handles booking message-1, attempt 3: returns nil`,
		}},
		"held": {actWait, []string{
			`0s process 1: group "ledger" handles booking message-1, attempt 1: retried: once more`,
			`0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`0s process 2: group "ledger" handles booking message-1, attempt 2: returns nil`,
		}},
		"to be settled": {actSettle, []string{
			`0s process 1: group "ledger" handles booking message-1, attempt 1: retried: once more`,
			`1h0m0s process 1: group "ledger" handles booking message-1, attempt 2: returns nil`,
			`1h0m0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`1h0m0s process 2: group "ledger" handles booking message-1, attempt 2: returns nil`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newExploration(leaseWorld, nil)
				defer x.pool.drain()
				if err := x.learn(); err != nil {
					t.Fatal(err)
				}
				i := slices.IndexFunc(x.reference.defaults, func(a action) bool { return a.kind == c.when })
				lost := action{kind: actLose, proc: 1, entry: x.symbols.symbol(entryName("booking", "message-1"))}
				story := newTale(x.symbols)
				r, err := x.run(nil, schedule{plan: []deviation{{at: x.reference.defaults[i], nth: 1, do: lost}}}, story, true)
				if err != nil || r.err != nil {
					t.Fatal(err, r.err)
				}
				if !slices.Equal(story.steps, c.want) {
					t.Errorf("got %q", story.steps)
				}
				const vain = "\n    0s ledger/booking attempt 1: in vain: the lease was lost\n    0s ledger/booking attempt 2: retried: once more\n"
				if strings.Contains(story.tree(), vain) != (name == "running") {
					t.Errorf("got %s", story.tree())
				}
			})
		})
	}
}

func entryName(typ, id string) name { return name{typ: typ, id: id} }
