package bustest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// batchWorld has a batch handler, and three events of which the first two have a key.
func batchWorld(handle func(ctx context.Context, all []booking) error, more int) func(w *World) {
	return func(w *World) {
		w.Handlers(func(b *bus.Bus) {
			bus.SubscribeBatch(b, "ledger", handle, bus.Batch(100, time.Second), bus.Retry(bus.Backoff{First: time.Hour}))
		})
		w.Publish(booking{"alice", 100})
		w.Publish(booking{"alice", 20})
		for range more {
			w.Publish(booking{"bob", 3})
		}
		w.Invariant(func() error { return nil })
	}
}

// told returns the story, and the tree, of a run that follows a plan.
func told(t *testing.T, setup func(w *World), text string) (steps []string, tree string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		x := newExploration(setup, nil)
		defer x.pool.drain()
		if err := x.learn(); err != nil {
			t.Fatal(err)
		}
		p := new(plan)
		if text != "" {
			var err error
			if p, err = parsePlan(text, x.publishes(), x.symbols); err != nil {
				t.Fatal(err)
			}
		}
		story := newTale(x.symbols)
		r, err := x.run(nil, p.schedule(), story, true)
		if err != nil || r.err != nil {
			t.Fatal(err, r.err)
		}
		if err := p.fits(r, x.symbols); err != nil {
			t.Fatal(err)
		}
		steps, tree = story.steps, story.tree()
	})
	return steps, tree
}

func succeedTogether(ctx context.Context, _ []booking) error {
	Step(ctx, "begin")
	return nil
}

func TestBatchesAreToldInOneLine(t *testing.T) {
	failOnce := func(ctx context.Context, all []booking) error {
		if info, _ := event.FromContext(event.Element(ctx, 0)); info.Failures == 0 && len(all) > 1 {
			return bus.BatchError{0: errors.New("once more")}
		}
		return nil
	}
	failAll := func(ctx context.Context, _ []booking) error {
		if info, _ := event.FromContext(event.Element(ctx, 0)); info.Failures == 0 {
			return errors.New("once more")
		}
		return nil
	}
	// Process 1 has a batch that can be run when process 2 settles its first events.
	const settledElsewhere = "wait=lose/1/0/booking:message-1 run/1/0/booking:message-1=run/2/0/booking:message-1"
	for name, c := range map[string]struct {
		handle func(ctx context.Context, all []booking) error
		more   int
		plan   string
		want   []string
	}{
		"some fail": {failOnce, 1, "", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 1: message-1 retried: once more; message-2 again behind it; message-3 acked`,
			`1h0m2s process 1: group "ledger" handles a batch of booking message-1, message-2, attempts 2, 1: returns nil`,
		}},
		"many": {succeedTogether, 6, "", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, message-4, message-5, message-6 and 2 more, attempt 1: returns nil`,
		}},
		"the process dies": {succeedTogether, 1, "go/1/0/booking:message-1/step:begin=die/1", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 1, up to step "begin"`,
			`1s process 1 dies, with 3 deliveries not settled`,
			`2s process 2: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 2: returns nil`,
		}},
		"the process dies while they come together": {succeedTogether, 1, "wait=die/1", []string{
			`0s process 1 dies, with 3 deliveries not settled`,
			`1s process 2: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 2: returns nil`,
		}},
		"a lease is lost while they come together": {succeedTogether, 1, "wait=lose/1/0/booking:message-3", []string{
			`0s process 1 loses the lease of booking message-3 in group "ledger"`,
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, attempt 1: returns nil`,
			`1s process 2: group "ledger" handles a batch of booking message-3, attempt 2: returns nil`,
		}},
		"the lease of the first is": {succeedTogether, 1, "wait=lose/1/0/booking:message-1", []string{
			`0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`1s process 1: group "ledger" handles a batch of booking message-3, attempt 1: returns nil`,
			`1s process 2: group "ledger" handles a batch of booking message-1, message-2, attempt 2: returns nil`,
		}},
		"all leases are": {succeedTogether, 0, "run/1/0/booking:message-1=lose/1/0/booking:message-1", []string{
			`1s process 1 loses the lease of booking message-1 in group "ledger"`,
			`2s process 2: group "ledger" handles a batch of booking message-1, message-2, attempt 2: returns nil`,
		}},
		"a lease is lost while it runs": {succeedTogether, 1, "go/1/0/booking:message-1/step:begin=lose/1/0/booking:message-3", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 1, up to step "begin"`,
			`1s process 1 loses the lease of booking message-3 in group "ledger"`,
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3 (goes on), attempt 1: message-1, message-2 acked; message-3 for nothing: the lease is lost`,
			`2s process 2: group "ledger" handles a batch of booking message-3, attempt 2: returns nil`,
		}},
		"all leases are lost while it runs": {succeedTogether, 0, "go/1/0/booking:message-1/step:begin=lose/1/0/booking:message-1", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, attempt 1, up to step "begin"`,
			`1s process 1 loses the lease of booking message-1 in group "ledger"`,
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2 (goes on) to its end, for nothing: the lease is lost`,
			`2s process 2: group "ledger" handles a batch of booking message-1, message-2, attempt 2: returns nil`,
		}},
		"what another process has settled is no more of it": {succeedTogether, 1, settledElsewhere, []string{
			`0s process 1 loses the lease of booking message-1 in group "ledger"`,
			`1s process 2: group "ledger" handles a batch of booking message-1, message-2, attempt 2: returns nil`,
			`1s process 1: group "ledger" handles a batch of booking message-3, attempt 1: returns nil`,
		}},
		"nothing follows what another process has settled": {
			succeedTogether, 1, settledElsewhere + " run/1/0/booking:message-1*2=lose/1/0/booking:message-3 run/1/0/booking:message-1*3=die/1",
			[]string{
				`0s process 1 loses the lease of booking message-1 in group "ledger"`,
				`1s process 2: group "ledger" handles a batch of booking message-1, message-2, attempt 2: returns nil`,
				`1s process 1 loses the lease of booking message-3 in group "ledger"`,
				`1s process 1 dies, with nothing unsettled`,
				`2s process 2: group "ledger" handles a batch of booking message-3, attempt 2: returns nil`,
			},
		},
		"all fail": {failAll, 1, "", []string{
			`1s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, attempt 1: message-1, message-3 retried: once more; message-2 again behind it`,
			`1h0m2s process 1: group "ledger" handles a batch of booking message-1, message-2, message-3, attempts 2, 1, 2: returns nil`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			steps, tree := told(t, batchWorld(c.handle, c.more), c.plan)
			if !slices.Equal(steps, c.want) {
				t.Errorf("got:\n%s\n%s\nwant:\n%s", strings.Join(steps, "\n"), tree, strings.Join(c.want, "\n"))
			}
		})
	}
}

// When a lease is lost the batch's context has ended before the handler goes on: what
// it does then doesn't depend on a goroutine's luck.
func TestBatchesSeeAtOnceThatALeaseIsLost(t *testing.T) {
	lost, late := 0, 0
	Explore(t, batchWorld(func(ctx context.Context, _ []booking) error {
		done := ctx.Done()
		Step(ctx, "begin")
		if !ctx.Value(taskKey{}).(*task).lost { //nolint:forcetypeassert // in an exploration
			return nil
		}
		lost++
		select {
		case <-done:
		default:
			late++
		}
		return ctx.Err()
	}, 2))
	if lost == 0 || late > 0 {
		t.Errorf("%d leases lost in a batch, %d without the end of its context", lost, late)
	}
}

type receipt struct{ Account string }

// A process can die before each event that a batch handler published is accepted, when
// others have ended already; what another handler does meanwhile is told as its own.
func TestBatchesAreInterruptedAtEachPublish(t *testing.T) {
	world := func(w *World) {
		batchWorld(nil, 1)(w)
		w.Handlers(func(b *bus.Bus) {
			bus.SubscribeBatch(b, "ledger", func(ctx context.Context, all []booking) error {
				for i, d := range all {
					if err := b.Publish(event.Element(ctx, i), receipt{d.Account}, bus.ID(fmt.Sprint("receipt-", i+1))); err != nil {
						return err
					}
				}
				return nil
			}, bus.Batch(100, time.Second))
			bus.Subscribe(b, "mailer", func(context.Context, receipt) error { return nil })
		})
	}
	const batch = `group "ledger" handles a batch of booking message-1, message-2, message-3`
	for name, c := range map[string]struct {
		do   string // instead of the second publish
		want []string
	}{
		"a death": {"die/1", []string{
			`1s process 1: ` + batch + `, attempt 1, up to the publish of receipt`,
			`1s process 1 dies, with 3 deliveries not settled`,
			`1s process 2: group "mailer" handles receipt receipt-1, attempt 1: returns nil`,
			`2s process 2: ` + batch + `, attempt 2: returns nil`,
			`2s process 2: group "mailer" handles receipt receipt-1, attempt 1: returns nil`,
			`2s process 2: group "mailer" handles receipt receipt-2, attempt 1: returns nil`,
			`2s process 2: group "mailer" handles receipt receipt-3, attempt 1: returns nil`,
		}},
		"another handler": {"fetch/1/1/receipt:receipt-1", []string{
			`1s process 1: ` + batch + `, attempt 1, up to the publish of receipt`,
			`1s process 1: group "mailer" handles receipt receipt-1, attempt 1: returns nil`,
			`1s process 1: ` + batch + ` (goes on), attempt 1, up to the publish of receipt`,
			`1s process 1: group "mailer" handles receipt receipt-2, attempt 1: returns nil`,
			`1s process 1: ` + batch + ` (goes on), attempt 1: returns nil`,
			`1s process 1: group "mailer" handles receipt receipt-3, attempt 1: returns nil`,
		}},
	} {
		t.Run(name, func(t *testing.T) {
			steps, tree := told(t, world, "go/1/0/booking:message-1/the+publish+of:receipt*2="+c.do)
			if !slices.Equal(steps, c.want) {
				t.Errorf("got:\n%s\n%s\nwant:\n%s", strings.Join(steps, "\n"), tree, strings.Join(c.want, "\n"))
			}
		})
	}
}
