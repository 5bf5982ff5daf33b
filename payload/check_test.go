package payload_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
	"github.com/leat-go/leat/payload"
)

type scan struct{ Text string }

// spy sees events as the channel has them.
type spy struct {
	mu   sync.Mutex
	seen []event.Event
}

func (s *spy) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		s.mu.Lock()
		s.seen = append(s.seen, e)
		s.mu.Unlock()
		return next(ctx, e)
	}
}

// archive is a bus whose large payloads are in a store.
func archive(t *testing.T, store payload.Store, cfg payload.Config, register func(b *bus.Bus)) (*bus.Bus, *memory.Channel) {
	t.Helper()
	ch, check := memory.New(), payload.New(store, cfg)
	b := bus.New(bus.Config{Channel: ch, Transforms: []event.Transform{check.Transform}, Inner: []event.Middleware{check}})
	register(b)
	require.NoError(t, b.Start(t.Context()))
	return b, ch
}

// A handler gets what was published, and the channel only what is small.
func TestCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := payload.NewMemory(payload.MemoryConfig{})
		var got, whole []string
		var s spy
		b, ch := archive(t, store, payload.Config{Above: 100}, func(b *bus.Bus) {
			bus.Subscribe(b, "index", func(_ context.Context, x scan) error {
				got = append(got, x.Text)
				return nil
			}, bus.With(&s))
			bus.SubscribeBatch(b, "batches", func(_ context.Context, all []scan) error {
				for _, x := range all {
					whole = append(whole, x.Text)
				}
				return nil
			}, bus.Batch(10, time.Second))
		})
		small, large := "small", strings.Repeat("x", 1000)
		require.NoError(t, b.PublishAll(t.Context(), scan{small}, scan{large}))
		require.NoError(t, ch.Quiet(t.Context()))
		require.Equal(t, []string{small, large}, got)
		require.Equal(t, []string{small, large}, whole)
		n, size := store.Len()
		require.Equal(t, 1, n)
		require.Equal(t, len(`{"Text":""}`)+1000, size)
		require.NotEmpty(t, s.seen[0].Data())
		require.Empty(t, s.seen[1].Data())
		require.NotEmpty(t, s.seen[1].Extension(event.ExtDataRef))
		require.Equal(t, "application/json", s.seen[1].ContentType())
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// At the bound a payload rides in the event; one byte more doesn't.
func TestAbove(t *testing.T) {
	check := payload.New(payload.NewMemory(payload.MemoryConfig{}), payload.Config{Above: 100, Max: 200})
	for size, want := range map[int]bool{0: false, 100: false, 101: true, 200: true} {
		e := event.New("/s", "t", make([]byte, size))
		out, err := check.Transform(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, want, out.Extension(event.ExtDataRef) != "", size)
		require.NoError(t, out.Validate())
		same, err := check.Transform(t.Context(), out)
		require.NoError(t, err)
		require.True(t, same.Equal(out), "a reference stays one")
		back, err := check.Whole(t.Context(), out)
		require.NoError(t, err)
		require.True(t, back.Equal(e), size)
	}
	_, err := check.Transform(t.Context(), event.New("/s", "t", make([]byte, 201)))
	require.ErrorIs(t, err, event.ErrTooLarge)
}

// A reference of somebody else's isn't looked up.
func TestForeignReference(t *testing.T) {
	check := payload.New(payload.NewMemory(payload.MemoryConfig{}), payload.Config{})
	e := event.New("/s", "t", nil).WithExtension(event.ExtDataRef, "https://example.com/x")
	out, err := check.Whole(t.Context(), e)
	require.NoError(t, err)
	require.True(t, out.Equal(e))
	require.NoError(t, check.Remove(t.Context(), e))
}

// failing is a store with faults.
type failing struct {
	payload.Store

	away   atomic.Bool
	change func([]byte) []byte
}

var errAway = errors.New("away")

func (f *failing) Put(ctx context.Context, name string, data []byte, keep time.Duration) error {
	if f.away.Load() {
		return errAway
	}
	return f.Store.Put(ctx, name, data, keep)
}

func (f *failing) Get(ctx context.Context, name string) ([]byte, error) {
	if f.away.Load() {
		return nil, errAway
	}
	data, err := f.Store.Get(ctx, name)
	if f.change != nil {
		data = f.change(data)
	}
	return data, err
}

// What is gone, or changed, makes a dead letter; a store that is away makes an event wait.
func TestFaults(t *testing.T) {
	for name, c := range map[string]struct {
		fault func(f *failing, m *payload.Memory)
		cause string
	}{
		"changed": {func(f *failing, _ *payload.Memory) { f.change = func(b []byte) []byte { b[0] ^= 1; return b } }, payload.ErrDigest.Error()},
		"gone":    {func(*failing, *payload.Memory) { time.Sleep(15 * 24 * time.Hour) }, payload.ErrGone.Error()}, // virtual
		"away": {func(f *failing, _ *payload.Memory) {
			f.away.Store(true)
			time.AfterFunc(time.Hour, func() { f.away.Store(false) })
		}, ""},
	} {
		for _, batch := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := payload.NewMemory(payload.MemoryConfig{})
					f := &failing{Store: m}
					var got []string
					b, ch := archive(t, f, payload.Config{Above: 100}, func(b *bus.Bus) {
						if !batch {
							bus.Subscribe(b, "index", func(_ context.Context, x scan) error { got = append(got, x.Text); return nil })
							return
						}
						bus.SubscribeBatch(b, "index", func(_ context.Context, all []scan) error {
							for _, x := range all {
								got = append(got, x.Text)
							}
							return nil
						}, bus.Batch(10, time.Second))
					})
					require.NoError(t, b.Pause("index"))
					large := strings.Repeat("x", 1000)
					require.NoError(t, b.Publish(t.Context(), scan{large}, bus.Key("k")))
					c.fault(f, m)
					require.NoError(t, b.Publish(t.Context(), scan{"small"}, bus.Key("k")))
					require.NoError(t, b.Resume("index"))
					require.NoError(t, ch.Quiet(t.Context()))
					var causes []string
					for d, err := range b.DeadLetters(t.Context(), "index") {
						require.NoError(t, err)
						require.Equal(t, 1, d.Cause.Failures)
						causes = append(causes, d.Cause.Text)
					}
					if c.cause == "" {
						require.Empty(t, causes)
						require.Equal(t, []string{large, "small"}, got, "in order")
					} else {
						require.Len(t, causes, 1)
						require.Contains(t, causes[0], c.cause)
						require.Equal(t, []string{"small"}, got)
					}
					require.NoError(t, b.Shutdown(t.Context()))
				})
			})
		}
	}
}

// A publish whose payload can't be put is refused.
func TestPutFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &failing{Store: payload.NewMemory(payload.MemoryConfig{})}
		f.away.Store(true)
		b, _ := archive(t, f, payload.Config{Above: 10}, func(*bus.Bus) {})
		require.ErrorIs(t, b.Publish(t.Context(), scan{strings.Repeat("x", 100)}), errAway)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// The same id with another payload is told apart, although the event has none of either.
func TestFingerprint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
		b, ch := archive(t, payload.NewMemory(payload.MemoryConfig{}), payload.Config{Above: 10}, func(b *bus.Bus) {
			bus.Subscribe(b, "index", func(context.Context, scan) error { return nil }, bus.With(once))
		})
		for _, text := range []string{"a", "a", "b"} {
			require.NoError(t, b.Publish(t.Context(), scan{strings.Repeat(text, 100)}, bus.ID("1")))
			require.NoError(t, ch.Quiet(t.Context()))
		}
		st := once.Stats()
		require.EqualValues(t, 1, st.Claimed)
		require.EqualValues(t, 1, st.Suppressed)
		require.EqualValues(t, 1, st.Mismatched)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// To forget sooner than the channel brings an event again is a mistake at the start.
func TestStart(t *testing.T) {
	check := payload.New(payload.NewMemory(payload.MemoryConfig{}), payload.Config{Keep: time.Hour})
	require.NoError(t, check.CheckStart(event.Subscription{}, event.Guarantees{RedeliveryHorizon: time.Hour}))
	require.ErrorContains(t, check.CheckStart(event.Subscription{}, event.Guarantees{Channel: "sqs", RedeliveryHorizon: 2 * time.Hour}),
		"payloads are kept for 1h0m0s, and sqs can bring an event again after 2h0m0s")
	require.Error(t, payload.New(nil, payload.Config{}).CheckStart(event.Subscription{}, event.Guarantees{}))
}

// What a store in memory can't take it refuses; it forgets in time, and keeps copies.
func TestMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := payload.NewMemory(payload.MemoryConfig{MaxBytes: 10})
		data := []byte("12345")
		require.NoError(t, m.Put(ctx, "a", data, time.Hour))
		data[0] = 'x'
		require.NoError(t, m.Put(ctx, "b", []byte("12345"), 2*time.Hour))
		require.ErrorIs(t, m.Put(ctx, "c", []byte("1"), time.Hour), payload.ErrFull)
		require.NoError(t, m.Put(ctx, "b", []byte("54321"), 2*time.Hour), "it takes the place of the other")
		got, err := m.Get(ctx, "a")
		require.NoError(t, err)
		require.True(t, bytes.Equal(got, []byte("12345")))
		time.Sleep(time.Hour) // virtual
		_, err = m.Get(ctx, "a")
		require.ErrorIs(t, err, payload.ErrGone)
		require.NoError(t, m.Expire(ctx, "a", time.Hour))
		require.NoError(t, m.Put(ctx, "soon", nil, 2*time.Hour))
		require.NoError(t, m.Expire(ctx, "soon", time.Minute))
		time.Sleep(time.Minute) // virtual
		_, err = m.Get(ctx, "soon")
		require.ErrorIs(t, err, payload.ErrGone)
		require.NoError(t, m.Put(ctx, "c", []byte("12345"), time.Hour))
		require.NoError(t, m.Delete(ctx, "c"))
		require.NoError(t, m.Delete(ctx, "c"))
		n, size := m.Len()
		require.Equal(t, []int{1, 5}, []int{n, size})
		ended, cancel := context.WithCancel(ctx)
		cancel()
		require.Error(t, m.Put(ended, "d", nil, time.Hour))
		require.Error(t, m.Delete(ended, "d"))
		_, err = m.Get(ended, "b")
		require.ErrorIs(t, err, context.Canceled)
	})
}
