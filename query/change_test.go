package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/query"
)

// priceOf asks for the price of an item.
type priceOf struct{ Item string }

type price struct{ Cents int }

// priceSet is a fact; reprice asks for one.
type priceSet struct{ Item string }

type reprice struct {
	Item  string
	Cents int
}

// desk has prices, by tenant and item.
type desk struct {
	mu     sync.Mutex
	prices map[string]int
	asked  map[string]int // how often
	err    error
	gate   chan struct{} // nil: answers don't wait
	ended  int           // how many were cancelled while they waited
}

func newDesk() *desk { return &desk{prices: make(map[string]int), asked: make(map[string]int)} }

func (s *desk) set(item string, cents int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prices[item] = cents
}

func (s *desk) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// hold lets answers, which were looked up before, wait until the returned function is called.
func (s *desk) hold() (release func()) {
	gate := make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gate = gate
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.gate = nil
		s.mu.Unlock()
		close(gate)
	})
}

func (s *desk) asks(item string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[item]
}

func (s *desk) cancelled() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *desk) answer(ctx context.Context, q priceOf) (price, error) {
	o, _ := event.OriginFrom(ctx)
	s.mu.Lock()
	s.asked[q.Item]++
	p, err, gate := price{s.prices[o.Tenant+q.Item]}, s.err, s.gate
	s.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.ended++
			return price{}, ctx.Err()
		}
	}
	return p, err
}

// open returns a Bus that runs and answers from the desk. setUp is called before Start.
func (s *desk) open(t *testing.T, ch event.Channel, setUp ...func(b *bus.Bus)) *bus.Bus {
	t.Helper()
	b := bus.New(bus.Config{App: "desk", Channel: ch, KeepChannel: true})
	query.Handle(b, s.answer)
	for _, f := range setUp {
		f(b)
	}
	require.NoError(t, b.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	return b
}

// seen is what a watcher has seen.
type seen struct {
	mu    sync.Mutex
	all   []string
	ended bool
}

func (s *seen) take() []string {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

func (s *seen) add(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, text)
}

func (s *seen) over() bool {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// watching watches until ctx or the Bus ends.
func watching(ctx context.Context, b *bus.Bus, item string, opts ...query.WatchOption) *seen {
	s := &seen{}
	go func() {
		for p, err := range query.Watch[price](ctx, b, priceOf{item}, opts...) {
			if err != nil {
				s.add(err.Error())
			} else {
				s.add(fmt.Sprint(p.Cents))
			}
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = true
	}()
	synctest.Wait()
	return s
}

// Told in one process, a change is known in all; the one that tells knows it at once, and once.
func TestChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		here, there := newDesk(), newDesk()
		a, b := here.open(t, ch), there.open(t, ch)
		sa, sb := watching(t.Context(), a, "tea"), watching(t.Context(), b, "tea")
		require.Equal(t, []string{"0"}, sa.take())
		require.Equal(t, []string{"0"}, sb.take())
		here.set("tea", 5)
		there.set("tea", 5)
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"milk"}))
		require.Empty(t, append(sa.take(), sb.take()...), "another query")
		require.Equal(t, 1, here.asks("tea"))
		require.NoError(t, query.Changed(t.Context(), a, priceOf{"tea"}))
		require.Equal(t, []string{"5"}, sa.take())
		require.Equal(t, []string{"5"}, sb.take())
		require.Equal(t, 2, here.asks("tea"))
		require.Equal(t, 2, there.asks("tea"))
		require.NoError(t, query.Changed(t.Context(), a, &priceOf{"tea"}, priceOf{"milk"}))
		synctest.Wait()
		require.Equal(t, 3, there.asks("tea"), "a pointer is the same query")
		require.Empty(t, sb.take(), "the answer is the same")
	})
}

// Under a handler's context a change is told when the handler has succeeded.
func TestChangedInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		s := newDesk()
		tries := 0
		a := s.open(t, ch, func(b *bus.Bus) {
			bus.Subscribe(b, "prices", func(ctx context.Context, r reprice) error {
				tries++
				if err := query.Changed(ctx, b, priceOf{r.Item}); err != nil {
					return err
				}
				synctest.Wait()
				if tries == 1 {
					return errors.New("again")
				}
				s.set(r.Item, r.Cents)
				return nil
			}, bus.Retry(bus.Backoff{First: time.Minute, Max: time.Minute, Attempts: 3}))
		})
		sa := watching(t.Context(), a, "tea")
		require.Equal(t, []string{"0"}, sa.take())
		require.NoError(t, a.Publish(t.Context(), reprice{"tea", 7}))
		synctest.Wait()
		require.Equal(t, 1, s.asks("tea"), "what fails has changed nothing")
		time.Sleep(2 * time.Minute) // virtual
		require.Equal(t, []string{"7"}, sa.take())
		require.Equal(t, 2, tries)
		require.Equal(t, 2, s.asks("tea"))
	})
}

// An event changes the queries that were declared, of its tenant.
func TestChangedBy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		s := newDesk()
		b := s.open(t, ch, func(b *bus.Bus) {
			query.ChangedBy(b, func(e priceSet) []priceOf {
				if e.Item == "" {
					return nil
				}
				if e.Item == "panic" {
					panic("oops")
				}
				return []priceOf{{e.Item}, {"all"}}
			})
		})
		acme := event.WithOrigin(t.Context(), event.Origin{Tenant: "acme"})
		none, tea, all := watching(t.Context(), b, "tea"), watching(acme, b, "tea"), watching(acme, b, "all")
		s.set("tea", 1)
		s.set("acmetea", 2)
		s.set("acmeall", 3)
		require.NoError(t, b.Publish(acme, priceSet{"tea"}))
		require.Equal(t, []string{"0", "2"}, tea.take())
		require.Equal(t, []string{"0", "3"}, all.take())
		require.Equal(t, []string{"0"}, none.take())
		require.NoError(t, b.Publish(acme, priceSet{}))
		require.Empty(t, none.take())
		require.NoError(t, b.Publish(t.Context(), priceSet{"panic"}))
		require.Equal(t, []string{"1"}, none.take(), "it could be any")
		s.set("tea", 4)
		require.NoError(t, b.Publish(t.Context(), event.New("/x", "price-set", []byte("{"))))
		require.Equal(t, []string{"4"}, none.take(), "it could be any")
		s.set("tea", 5)
		require.NoError(t, b.Publish(t.Context(), event.New("/x", "other", nil), bus.Topic("price-set")))
		require.Empty(t, none.take(), "a type that changes nothing")
	})
}

// What can't be read, and what is too much, is all queries of the type.
func TestChangedAll(t *testing.T) {
	many := func(n int) (qs []any) {
		for i := range n {
			qs = append(qs, priceOf{fmt.Sprint(i)})
		}
		return qs
	}
	for name, c := range map[string]struct {
		tell func(ctx context.Context, b *bus.Bus) error
		want []string
	}{
		"all":      {query.ChangedAll[priceOf], []string{"1"}},
		"256":      {func(ctx context.Context, b *bus.Bus) error { return query.Changed(ctx, b, many(256)...) }, nil},
		"257":      {func(ctx context.Context, b *bus.Bus) error { return query.Changed(ctx, b, many(257)...) }, []string{"1"}},
		"garbage":  {raw(`{`), []string{"1"}},
		"nothing":  {raw(`{}`), []string{"1"}},
		"odd key":  {raw(`{"keys":["AAAA"]}`), []string{"1"}},
		"both":     {raw(`{"keys":["AAAA"],"all":true}`), []string{"1"}},
		"of other": {raw(`{"all":true,"by":"01J"}`), []string{"1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ch := memory.New(memory.Encode())
				s := newDesk()
				a, b := s.open(t, ch), s.open(t, ch)
				acme := event.WithOrigin(t.Context(), event.Origin{Tenant: "acme"})
				sb := watching(acme, b, "tea")
				require.Equal(t, []string{"0"}, sb.take())
				s.set("acmetea", 1)
				require.NoError(t, c.tell(t.Context(), a))
				require.Equal(t, c.want, sb.take())
			})
		})
	}
}

func raw(data string) func(context.Context, *bus.Bus) error {
	return func(ctx context.Context, b *bus.Bus) error {
		return b.Publish(ctx, event.New("/x", "query-changed", []byte(data)), bus.Topic("price-of.changed"))
	}
}

// What is sent is hashes, with what it inherits; a redelivery sends the same.
func TestChangedOnTheWire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.Encode())
		var got []event.Event
		s := newDesk()
		b := s.open(t, ch, func(b *bus.Bus) {
			bus.SubscribeRaw(b, "spy", nil, func(_ context.Context, e event.Event) error {
				got = append(got, e)
				return nil
			}, bus.Topic("price-of.changed"))
			bus.Subscribe(b, "prices", func(ctx context.Context, r reprice) error {
				return query.Changed(ctx, b, priceOf{r.Item})
			})
		})
		acme := event.WithOrigin(t.Context(), event.Origin{Tenant: "acme", CorrelationID: "c"})
		require.NoError(t, query.Changed(acme, b, priceOf{"secret"}, priceOf{"tea"}))
		synctest.Wait()
		require.Len(t, got, 1, "one event for all of a type")
		e := got[0]
		require.Equal(t, "query-changed", e.Type())
		require.Equal(t, "/desk", e.Source())
		require.Equal(t, "acme", e.Extension(event.ExtTenant))
		require.Equal(t, "c", e.CorrelationID())
		var data struct {
			Keys [][]byte
			By   string
		}
		require.NoError(t, json.Unmarshal(e.Data(), &data))
		require.Len(t, data.Keys, 2)
		require.Len(t, data.Keys[0], 32)
		require.NotEmpty(t, data.By)
		require.NotContains(t, string(e.Data()), "secret")

		cause := event.New("/x", "reprice", []byte(`{"Item":"tea"}`))
		for range 2 {
			require.NoError(t, b.Publish(t.Context(), cause))
		}
		require.NoError(t, b.Publish(t.Context(), cause.WithID("other")))
		synctest.Wait()
		require.Len(t, got, 4)
		require.Equal(t, got[1].ID(), got[2].ID())
		require.NotEqual(t, got[1].ID(), got[3].ID())
		require.Equal(t, cause.ID(), got[1].Extension(event.ExtCausationID))
	})
}

// Without a channel changes are known in the process.
func TestChangedWithoutChannel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newDesk()
		b := s.open(t, nil)
		sb := watching(t.Context(), b, "tea")
		s.set("tea", 1)
		require.NoError(t, query.Changed(t.Context(), b, priceOf{"tea"}))
		require.Equal(t, []string{"0", "1"}, sb.take())
		s.set("tea", 2)
		require.NoError(t, query.ChangedAll[priceOf](t.Context(), b))
		require.Equal(t, []string{"2"}, sb.take())
		require.Equal(t, 3, s.asks("tea"))
	})
}

// Mistakes, and a Bus that doesn't run.
func TestChangedErrors(t *testing.T) {
	ch := memory.New()
	b := bus.New(bus.Config{Channel: ch})
	require.ErrorIs(t, query.Changed(t.Context(), b, priceOf{}), bus.ErrNotStarted)
	require.ErrorIs(t, query.ChangedAll[priceOf](t.Context(), b), bus.ErrNotStarted)
	bus.Subscribe(b, "g", func(context.Context, priceSet) error { return nil })
	require.NoError(t, b.Start(t.Context()))
	require.Error(t, query.Changed(t.Context(), b, nil))
	require.Error(t, query.Changed(t.Context(), b, struct{}{}))
	require.Error(t, query.ChangedAll[func()](t.Context(), b))
	type bad struct{ F func() }
	require.ErrorContains(t, query.Changed(t.Context(), b, bad{}), "can't be encoded")
	require.Panics(t, func() { query.ChangedBy(b, func(priceSet) []priceOf { return nil }) })
	require.NoError(t, b.Shutdown(t.Context()))
	require.ErrorIs(t, query.Changed(t.Context(), b, priceOf{}), event.ErrClosed)

	b = bus.New(bus.Config{Channel: memory.New()})
	query.ChangedBy[priceSet, priceOf](b, nil)
	query.ChangedBy(b, func(struct{}) []priceOf { return nil })
	query.ChangedBy(b, func(priceSet) []struct{} { return nil })
	err := b.Start(t.Context())
	require.Equal(t, 3, strings.Count(fmt.Sprint(err), "ChangedBy"), err)
	require.NoError(t, b.Shutdown(t.Context()))
}
