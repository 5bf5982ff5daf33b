package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// Move is the n-th of an account.
type Move struct {
	Account string
	N       int
}

func (m Move) EventKey() string { return m.Account }

// moves is an application that can't do the second move of account a, until it can.
type moves struct {
	done   map[string][]int // by account: moves, when they were done first
	mended bool
	parked func(account string) bool // the account has dead letters
	broken error                     // what was handled though its account was parked
}

func (m *moves) register(b *bus.Bus, opts ...bus.SubscribeOption) {
	m.parked = func(account string) bool {
		for d, err := range b.DeadLetters(context.Background(), "ledger") {
			if err != nil || d.Event.Key() == account {
				return true
			}
		}
		return false
	}
	bus.Subscribe(b, "ledger", func(ctx context.Context, v Move) error {
		if m.parked(v.Account) {
			m.broken = fmt.Errorf("%v is handled, and its account is parked", v)
		}
		bustest.Step(ctx, "begun")
		if v.Account == "a" && v.N == 2 && !m.mended {
			if info, _ := event.FromContext(ctx); info.Failures == 0 {
				return errors.New("once more")
			}
			return event.Permanent(errors.New("no such account"))
		}
		if !slices.Contains(m.done[v.Account], v.N) {
			m.done[v.Account] = append(m.done[v.Account], v.N)
		}
		bustest.Step(ctx, "done")
		return nil
	}, append(opts, bus.ParkKey())...)
}

func publishMoves(w *bustest.World) {
	for n := range 4 {
		w.Publish(Move{"a", n + 1})
		w.Publish(Move{"b", n + 1})
	}
	w.Publish(Move{"a", 5}, bus.Delay(time.Hour))
	w.Publish(Move{"a", 6})
}

func TestParkedKeysInEverySchedule(t *testing.T) {
	for _, workers := range []int{1, 8} {
		bustest.Explore(t, func(w *bustest.World) {
			m := &moves{done: map[string][]int{}}
			var app *bus.Bus
			w.Handlers(func(b *bus.Bus) {
				app = b
				m.register(b, bus.Workers(workers))
			})
			publishMoves(w)
			w.State(func() any { return m.done })
			w.Invariant(func() error { return m.broken })
			w.Invariant(func() error {
				if len(m.done["a"]) != 1 || len(m.done["b"]) != 4 {
					return fmt.Errorf("done: %v", m.done)
				}
				return nil
			})
			w.Invariant(func() error { return parkedAre(app, "message-3", "message-5", "message-7", "message-9", "message-10") })
		}, bustest.Schedules(schedules()/20), bustest.Deviations(5))
	}
}

// parkedAre returns an error unless these, and no others, are parked: the first in
// front and those that were due at once in order behind it.
func parkedAre(b *bus.Bus, ids ...string) error {
	var got []string
	for d, err := range b.DeadLetters(context.Background(), "ledger") {
		if err != nil {
			return err
		}
		behind := d.Cause.Code == event.CodeParkedBehind && strings.Contains(d.Cause.Text, ids[0])
		if behind != (len(got) > 0) {
			return fmt.Errorf("%s: cause %+v", d.Event.ID(), d.Cause)
		}
		got = append(got, d.Event.ID())
	}
	if late := slices.Index(got, "message-9"); late == len(got)-1 { // its time came after the Park
		got = slices.Insert(got[:late], late-1, "message-9")
	}
	if !slices.Equal(got, ids) {
		return fmt.Errorf("parked: %q, want %q", got, ids)
	}
	return nil
}

// Repair lets the second move of account a be done, and sends what is parked again.
type Repair struct{ Account string }

// However it is driven again, what was parked comes in order and before what is newer.
func TestParkedKeysAreRedrivenInEverySchedule(t *testing.T) {
	for name, redrive := range map[string]func(ctx context.Context, b *bus.Bus) error{
		"the key": func(ctx context.Context, b *bus.Bus) error {
			_, err := b.RedriveKey(ctx, "ledger", "a")
			return err
		},
		"the one in front": func(ctx context.Context, b *bus.Bus) error {
			for d, err := range b.DeadLetters(ctx, "ledger") {
				if err != nil {
					return err
				}
				return b.Redrive(ctx, d)
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			bustest.Explore(t, func(w *bustest.World) {
				m := &moves{done: map[string][]int{}}
				w.Handlers(func(b *bus.Bus) {
					m.register(b, bus.Workers(8))
					bus.Subscribe(b, "operator", func(ctx context.Context, _ Repair) error {
						if len(m.done["a"]) > 1 {
							return nil
						}
						if !m.parked("a") {
							return event.Postpone(time.Minute, errors.New("nothing is parked yet"))
						}
						m.mended = true
						return redrive(ctx, b)
					})
				})
				publishMoves(w)
				w.Publish(Repair{"a"}, bus.Delay(30*time.Minute))
				w.Publish(Move{"a", 7}, bus.Delay(30*time.Minute))
				w.Invariant(func() error { return m.broken })
				w.Invariant(func() error {
					inTime := slices.DeleteFunc(slices.Clone(m.done["a"]), func(n int) bool { return n == 5 }) // it may be due early
					if !slices.Equal(inTime, []int{1, 2, 3, 4, 6, 7}) || len(m.done["a"]) != 7 {
						return fmt.Errorf("account a: %v", m.done["a"])
					}
					return nil
				})
			}, bustest.Schedules(schedules()/20), bustest.Deviations(5))
		})
	}
}

type ParcelDelivered struct{ Parcel string }

func (p ParcelDelivered) EventKey() string { return p.Parcel }

// giveUpUnknownOrders parks a parcel whose order isn't known: but that may only be late.
func giveUpUnknownOrders(w *bustest.World) {
	orders, status := map[string]bool{}, map[string]string{}
	w.Config(func(c *bus.Config) { c.App = "shop" })
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "desk", func(_ context.Context, o OrderTaken) error {
			orders[o.Order] = true
			return nil
		})
		bus.Subscribe(b, "road", func(_ context.Context, p ParcelShipped) error {
			if !orders[p.Order] {
				return event.Permanent(errors.New("no such order"))
			}
			return nil
		}, bus.Topic("parcels"), bus.ParkKey())
		bus.Subscribe(b, "road", func(_ context.Context, p ParcelDelivered) error {
			status[p.Parcel] = "delivered"
			return nil
		}, bus.Topic("parcels"))
	})
	w.Publish(OrderTaken{"42"})
	w.Publish(ParcelShipped{"p-1", "42"}, bus.Topic("parcels"))
	w.Publish(ParcelDelivered{"p-1"}, bus.Topic("parcels"))
	w.State(func() any { return status })
}

// The story tells what goes behind what, and that belongs to the dead letters.
func TestParkedEventsAreTold(t *testing.T) {
	const (
		why = "the dead letters differ from those of the undisturbed run:\n" +
			"  parcel-delivered message-3 in group \"shop.road\"; parcel-shipped message-2 in group \"shop.road\"\n  undisturbed: none"
		early = "eager publish/0/2=fetch/1/1/parcel-shipped:message-2"
	)
	f := bustest.Search(t, giveUpUnknownOrders, bustest.Replay(early)).Failure
	if f == nil || f.Why != why {
		t.Fatalf("got %v, want %s", f, why)
	}
	steps := []string{
		`0s process 1: group "road" handles parcel-shipped message-2, attempt 1: dead: permanent: no such order`,
		`0s parcel-delivered message-3 goes behind parcel-shipped message-2 in group "road": the key is parked`,
		`0s process 1: group "desk" handles order-taken message-1, attempt 1: returns nil`,
	}
	if !slices.Equal(f.Steps, steps) {
		t.Errorf("got %q", f.Steps)
	}
	if found := bustest.Search(t, giveUpUnknownOrders).Failure; found == nil {
		t.Error("it is not found")
	}
}
