package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/internal/servicetest"
)

// Keys and fingerprints may be what no column of text can hold: requests bring such.
func TestKeysOfAnyBytes(t *testing.T) {
	s, _ := newStore(t)
	for _, k := range []string{"a\x00b", "a\x00c", "\xff", "\xfe"} {
		for _, f := range []string{"", "\xfe\x00"} {
			key := idempotency.StringKey(k + f)
			g, err := s.Claim(t.Context(), key, idempotency.Claim{Lease: time.Minute, Fingerprint: f})
			require.NoError(t, err)
			require.Equal(t, idempotency.Claimed, g.State)
			require.NoError(t, s.Complete(t.Context(), key, g.Fence, idempotency.Record{}))
			g, err = s.Claim(t.Context(), key, idempotency.Claim{Lease: time.Minute, Fingerprint: f})
			require.NoError(t, err)
			require.Equal(t, idempotency.Completed, g.State)
		}
	}
	g, err := s.Claim(t.Context(), idempotency.StringKey("\xff\xfe\x00"), idempotency.Claim{Lease: time.Minute, Fingerprint: "\xfd\x00"})
	require.NoError(t, err)
	require.Equal(t, idempotency.Mismatch, g.State)
}

// mumbling is a channel whose broker refuses with bytes of its own.
type mumbling struct{ *memory.Channel }

func (c mumbling) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := c.Channel.Producer(ctx, topic)
	return mumblingProducer{p}, err
}

type mumblingProducer struct{ event.Producer }

func (p mumblingProducer) Produce(ctx context.Context, events ...event.Event) error {
	for _, e := range events {
		if strings.HasPrefix(e.ID(), "large") {
			return fmt.Errorf("the broker said \xff\x00: %w", event.ErrTooLarge)
		}
	}
	return p.Producer.Produce(ctx, events...)
}

// Whatever bytes the cause of a refusal has, the relay goes on.
func TestRefusedCauseOfAnyBytes(t *testing.T) {
	s, pool := newStore(t)
	ch := mumbling{memory.New()}
	b, _ := startedWith(t, ch, func(*bus.Bus) {})
	h := listen(t, ch.Channel, "paid")
	require.NoError(t, pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		for _, id := range []string{"large-1", "2", "3"} {
			if err := s.Publish(t.Context(), tx, b, in(id, Paid{Customer: "ada"})); err != nil {
				return err
			}
		}
		return nil
	}))
	relaying(t, s, b)
	h.wait(t, 2)
	require.Eventually(t, func() bool { return outboxOf(t, s) == 0 }, 10*time.Second, 10*time.Millisecond)
	all, err := s.Refused(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Contains(t, all[0].Cause, "the broker said")
}

// A pool may be one that prepares no statements: a pooler between it and the server, say.
func TestModes(t *testing.T) {
	for _, mode := range []string{"simple_protocol", "exec", "describe_exec", "cache_describe"} {
		t.Run(mode, func(t *testing.T) {
			s, pool := storeAt(t, servicetest.Addr(t, "postgres")+"&default_query_exec_mode="+mode)
			money := newBank(t, pool)
			b, ch := started(t, func(b *bus.Bus) {
				handle := func(ctx context.Context, p Paid) error {
					info, _ := event.FromContext(ctx)
					return errors.Join(event.SetResult(ctx, "text/plain", []byte("x")), money.bookAs(ctx, info.Group+info.Event.ID(), p.Cents), b.Publish(ctx, Booked{p.Customer}))
				}
				bus.Subscribe(b, "one", handle, bus.With(s.InTx()))
				bus.SubscribeBatch(b, "many", func(ctx context.Context, all []Paid) error {
					for i, p := range all {
						if err := handle(event.Element(ctx, i), p); err != nil {
							return err
						}
					}
					return nil
				}, bus.With(s.InTx()), bus.Batch(10, 50*time.Millisecond))
			})
			h := listen(t, ch, "booked")
			relaying(t, s, b)
			for i := range 4 {
				require.NoError(t, b.Publish(t.Context(), in(fmt.Sprint(i), Paid{"ada", 5})))
			}
			h.wait(t, 8)
			quiet(t, ch)
			require.Len(t, money.booked(t), 8)
			k := idempotency.StringKey("k")
			g, err := s.Claim(t.Context(), k, idempotency.Claim{Lease: time.Minute, Fingerprint: "f"})
			require.NoError(t, err)
			require.NoError(t, s.Extend(t.Context(), k, g.Fence, time.Minute))
			require.NoError(t, s.Complete(t.Context(), k, g.Fence, idempotency.Record{Result: &event.Result{Data: []byte("x")}}))
			require.NoError(t, s.KeepOnce(t.Context()))
		})
	}
}
