package bus_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

var all = bus.Requirements{Durable: true, Order: true, History: true, Parking: true, Delay: 24 * time.Hour, Topics: []string{"audit"}}

// startOn starts a Bus with two groups on a channel that promises what give says.
func startOn(t *testing.T, r bus.Requirements, give func(*event.Guarantees)) error {
	t.Helper()
	type order struct{}
	type payment struct{}
	b := bus.New(bus.Config{Channel: &limited{Channel: memory.New(), limit: give}, Require: r, App: "shop"})
	bus.Subscribe(b, "mailer", func(context.Context, order) error { return nil })
	bus.Subscribe(b, "ledger", func(context.Context, payment) error { return nil })
	err := b.Start(t.Context())
	if err == nil {
		require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context())))
	}
	return err
}

func TestRequire(t *testing.T) {
	enough := func(g *event.Guarantees) {
		g.Durable, g.History, g.OrderPerKey, g.Parks, g.MaxDelay = true, true, true, true, 24*time.Hour
	}
	require.NoError(t, startOn(t, all, enough))
	require.NoError(t, startOn(t, bus.Requirements{}, func(g *event.Guarantees) { *g = event.Guarantees{} }))
	for lacks, less := range map[string]func(*event.Guarantees){
		"Durable": func(g *event.Guarantees) { g.Durable = false },
		"Order":   func(g *event.Guarantees) { g.OrderPerKey = false },
		"History": func(g *event.Guarantees) { g.History = false },
		"Parking": func(g *event.Guarantees) { g.Parks = false },
		"a Delay of 24h0m0s (it has 15m0s)": func(g *event.Guarantees) {
			g.MaxDelay = 15 * time.Minute
		},
		"Durable, Order, a Delay of 24h0m0s (it has 0s), History, Parking": func(g *event.Guarantees) {
			*g = event.Guarantees{Channel: g.Channel}
		},
	} {
		err := startOn(t, all, func(g *event.Guarantees) {
			enough(g)
			less(g)
		})
		require.ErrorContains(t, err, `group "mailer": topic "order": Config.Require: memory lacks `+lacks)
		require.ErrorContains(t, err, `group "ledger": topic "payment": Config.Require: memory lacks `+lacks)
		published, _, _ := strings.Cut(lacks, ", History")
		if lacks == "History" || lacks == "Parking" {
			require.NotContains(t, err.Error(), `topic "audit"`, "that is for groups")
			continue
		}
		require.ErrorContains(t, err, `topic "audit": Config.Require: memory lacks `+published+"\n")
	}
}

func TestRequireTopics(t *testing.T) {
	b := bus.New(bus.Config{Channel: memory.New(), Require: bus.Requirements{Topics: []string{"good", "bad topic"}}})
	err := b.Start(t.Context())
	require.ErrorContains(t, err, "Config.Require.Topics")
	require.ErrorContains(t, err, "bad topic")
	b = bus.New(bus.Config{Require: bus.Requirements{Topics: []string{"good"}}})
	require.ErrorContains(t, b.Start(t.Context()), "Config.Channel is nil")
	closed := memory.New()
	require.NoError(t, closed.Close(t.Context()))
	b = bus.New(bus.Config{Channel: closed, Require: bus.Requirements{Topics: []string{"good"}}})
	require.ErrorIs(t, b.Start(t.Context()), event.ErrClosed)
}
