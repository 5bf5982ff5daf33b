package bustest_test

import (
	"context"
	"maps"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

type Deposit struct {
	Account string
	Cents   int
}

func (d Deposit) EventKey() string { return d.Account }

type Receipt struct{ Cents int }

// ledger is a fake database: what it holds survives the process.
type ledger struct {
	cents map[string]int
	seen  map[string]bool
	mails int
}

func newLedger() *ledger { return &ledger{cents: map[string]int{}, seen: map[string]bool{}} }

func id(ctx context.Context) string {
	info, _ := event.FromContext(ctx)
	return info.Event.ID()
}

func (l *ledger) state() any { return maps.Clone(l.cents) }

// world is one in which handle books deposits.
func world(handle func(b *bus.Bus, l *ledger)) func(*bustest.World) {
	return func(w *bustest.World) {
		l := newLedger()
		w.Handlers(func(b *bus.Bus) { handle(b, l) })
		w.Publish(Deposit{"alice", 100})
		w.Publish(Deposit{"alice", 20})
		w.Publish(Deposit{"bob", 3})
		w.State(l.state)
	}
}

func effectBeforeDedupe(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(ctx context.Context, d Deposit) error {
		if l.seen[id(ctx)] {
			return nil
		}
		l.cents[d.Account] += d.Cents
		bustest.Step(ctx, "booked")
		l.seen[id(ctx)] = true
		return nil
	})
}

func notIdempotent(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(_ context.Context, d Deposit) error {
		l.cents[d.Account] += d.Cents
		return nil
	})
}

func atomically(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(ctx context.Context, d Deposit) error {
		bustest.Step(ctx, "begin")
		if !l.seen[id(ctx)] {
			l.cents[d.Account] += d.Cents
			l.seen[id(ctx)] = true
		}
		bustest.Step(ctx, "committed")
		return nil
	})
}

// ackBeforeCommit books after the delivery was settled.
func ackBeforeCommit(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(ctx context.Context, d Deposit) error {
		return event.OnOutcome(ctx, nil, func(ctx context.Context, _ event.Outcome) {
			bustest.Step(ctx, "about to commit")
			if !l.seen[d.Account+id(ctx)] {
				l.cents[d.Account] += d.Cents
				l.seen[d.Account+id(ctx)] = true
			}
		})
	})
}

// publishOutside publishes with another context than the handler's.
func publishOutside(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(ctx context.Context, d Deposit) error {
		bustest.Step(ctx, "begin")
		err := b.Publish(context.Background(), Receipt{d.Cents})
		bustest.Step(ctx, "published")
		return err
	})
	bus.Subscribe(b, "mailer", func(ctx context.Context, r Receipt) error {
		if !l.seen[id(ctx)] {
			l.seen[id(ctx)] = true
			l.cents["mails"]++
		}
		return nil
	})
}

// orderAcrossKeys expects that accounts are opened before others are used.
func orderAcrossKeys(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(_ context.Context, d Deposit) error {
		if len(l.cents) == 0 {
			l.cents["first "+d.Account] = 1
		}
		l.cents[d.Account] = d.Cents
		return nil
	})
}

func slow(b *bus.Bus, l *ledger) {
	bus.Subscribe(b, "ledger", func(ctx context.Context, d Deposit) error {
		time.Sleep(time.Second)
		l.cents[d.Account] = d.Cents
		return nil
	})
}

func TestX(t *testing.T) {
	for name, h := range map[string]func(*bus.Bus, *ledger){"effect": effectBeforeDedupe, "notidem": notIdempotent, "ack": ackBeforeCommit, "outside": publishOutside, "order": orderAcrossKeys, "slow": slow} {
		f := bustest.Search(t, world(h))
		t.Logf("%s: %v", name, f)
	}
	if f := bustest.Search(t, world(atomically), bustest.Schedules(20000)); f != nil {
		t.Fatal(f)
	}
}
