package command_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/payload"
)

// On a bad day, on which deliveries come again, acknowledgements and leases are lost, and
// every third handler fails at first, each command has one effect, its operation ends as it should, and
// each is told of.
func TestBadDay(t *testing.T) {
	for seed := range uint64(50) {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			var mu sync.Mutex
			runs, told := make(map[string]int), make(map[string]int)
			ops, store := command.NewMemory(command.MemoryConfig{}), payload.NewMemory(payload.MemoryConfig{})
			command.Use(b.Bus, command.Config{
				Operations: ops,
				Payloads:   store,
				Payload:    payload.Config{Above: 1}, // all of them
				Notify: map[string]command.Notifier{"chat": command.NotifierFunc(func(_ context.Context, o command.Operation) error {
					mu.Lock()
					defer mu.Unlock()
					told[o.ID]++
					return nil
				})},
			})
			once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
			failed := make(map[int]bool)
			command.HandleResult(b.Bus, func(_ context.Context, c placeOrder) (receipt, error) {
				mu.Lock()
				defer mu.Unlock()
				switch {
				case c.Count%3 == 0 && !failed[c.Count]:
					failed[c.Count] = true
					return receipt{}, errors.New("at first")
				case c.Count%5 == 0:
					return receipt{}, errSoldOut
				}
				runs[fmt.Sprint(c.Count)]++
				return receipt{fmt.Sprint(c.Count)}, nil
			}, bus.With(once), bus.Workers(4))
			b.Settle() // it starts
			const commands = 30
			for n := range commands {
				_, err := command.Send(t.Context(), b.Bus, placeOrder{Count: n}, bus.ID(fmt.Sprint(n)))
				require.NoError(t, err)
			}
			b.Settle()
			for n := range commands {
				id := fmt.Sprint(n)
				o, err := ops.Get(t.Context(), id)
				require.NoError(t, err)
				if n%5 == 0 {
					require.Equal(t, command.Failed, o.State, "%d: %s", seed, id)
					require.ErrorIs(t, o.Problem, errSoldOut)
					require.Zero(t, runs[id])
				} else {
					require.Equal(t, command.Succeeded, o.State, "%d: %s", seed, id)
					require.JSONEq(t, fmt.Sprintf(`{"Number":%q}`, id), string(o.Result.Data))
					require.Equal(t, 1, runs[id], "%d: %s", seed, id)
				}
				require.Positive(t, told[id], "%d: %s", seed, id)
			}
			time.Sleep(time.Minute) // virtual
			left, _ := store.Len()
			require.Zero(t, left)
			lag, err := b.Lag(t.Context())
			require.NoError(t, err)
			for _, l := range lag {
				require.Zero(t, l.Lag.Dead, l.Group)
			}
		}, bustest.Faults(memory.Faults{Seed: seed, Redeliver: 0.2, Delay: time.Second, LoseAck: 0.1, LoseLease: 0.05}))
	}
}

// forgetful is a store that can't remove.
type forgetful struct{ *payload.Memory }

func (forgetful) Delete(context.Context, string) error { return errors.New("away") }

// A payload that isn't removed when its command is over, since the process ended, is gone a minute later.
func TestOrphan(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		store := payload.NewMemory(payload.MemoryConfig{})
		command.Use(b.Bus, command.Config{
			Operations: command.NewMemory(command.MemoryConfig{}), Payloads: forgetful{store}, Payload: payload.Config{Above: 1},
		})
		command.Handle(b.Bus, func(context.Context, placeOrder) error { return nil })
		b.Settle()
		_, err := command.Send(t.Context(), b.Bus, placeOrder{})
		require.NoError(t, err)
		b.Settle()
		n, _ := store.Len()
		require.Equal(t, 1, n)
		time.Sleep(time.Minute) // virtual
		n, _ = store.Len()
		require.Zero(t, n)
	})
}

// outage is a store of payloads that is away for a time.
type outage struct {
	*payload.Memory

	until time.Time
}

func (o outage) Get(ctx context.Context, name string) ([]byte, error) {
	if time.Now().Before(o.until) {
		return nil, errors.New("away")
	}
	return o.Memory.Get(ctx, name)
}

// A command that waits beyond its time, for its payload or in a middleware, has expired: no handler
// has begun. One that a handler has begun in time goes on.
func TestExpiryWhileItWaits(t *testing.T) {
	for _, waits := range []string{"for the payload", "in a middleware", "not"} {
		bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
			ops, until := command.NewMemory(command.MemoryConfig{}), time.Now()
			if waits == "for the payload" {
				until = until.Add(time.Hour)
			}
			slow := event.MiddlewareFunc(func(next event.Handler) event.Handler {
				return func(ctx context.Context, e event.Event) error {
					if waits == "in a middleware" {
						time.Sleep(time.Hour) // virtual
					}
					return next(ctx, e)
				}
			})
			command.Use(b.Bus, command.Config{
				Operations: ops, Payloads: outage{payload.NewMemory(payload.MemoryConfig{}), until}, Payload: payload.Config{Above: 1},
			})
			runs := 0
			command.Handle(b.Bus, func(context.Context, placeOrder) error {
				if runs++; runs == 1 {
					return event.RetryAfter(time.Hour, errors.New("later"))
				}
				return nil
			}, bus.With(slow))
			b.Settle()
			id, err := command.Send(t.Context(), b.Bus, placeOrder{}, command.Expires(time.Minute))
			require.NoError(t, err)
			b.Settle()
			o, err := ops.Get(t.Context(), id)
			require.NoError(t, err)
			if waits == "not" {
				require.Equal(t, command.Succeeded, o.State)
				require.Equal(t, 2, runs)
			} else {
				require.Equal(t, command.Expired, o.State)
				require.Zero(t, runs)
			}
		})
	}
}
