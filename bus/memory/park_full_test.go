package memory_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// listener is what the members of a group are told.
type listener struct {
	k    kit
	mu   sync.Mutex
	errs []error
}

func (l *listener) onError(err error) {
	_, lagErr := l.k.Lag(context.Background(), "t", "g") // nothing is locked
	l.mu.Lock()
	defer l.mu.Unlock()
	l.errs = append(l.errs, err, lagErr)
}

// heard returns what was told since it was asked last.
func (l *listener) heard() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var told []error
	for _, err := range l.errs {
		if err != nil {
			told = append(told, err)
		}
	}
	l.errs = nil
	return told
}

func requireFull(t *testing.T, told []error, n int) {
	t.Helper()
	require.Len(t, told, n)
	for _, err := range told {
		require.ErrorIs(t, err, event.ErrFull)
		require.ErrorContains(t, err, `group "g" on topic "t"`)
		require.ErrorContains(t, err, "2 dead letters")
		require.NotContains(t, err.Error(), "secret", "keys are nobody's business")
	}
}

// What finds no room behind a parked key is told to the members of the group: when it
// comes to that, as long as it lasts, and when it comes back.
func TestParkWithoutRoomIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.DeadCapacity(2))
		var here, there, elsewhere listener
		here.k, there.k, elsewhere.k = k, k, k
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: here.onError})
		k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: there.onError})
		k.subscribe(event.Subscription{Group: "g", Topics: []string{"u"}, OnError: elsewhere.onError})
		k.subscribe(event.Subscription{Group: "h", Topics: []string{"t"}, OnError: elsewhere.onError})
		k.join("g", "t") // and it doesn't want to know
		k.park(c, "t", "secret:1", "secret:2")
		require.Empty(t, k.receiveFor(c, time.Minute))
		require.Empty(t, here.heard(), "there is room")

		k.texts("t", "secret:3")
		require.Empty(t, k.receive(c, 9))
		k.texts("t", "secret:4")
		require.Empty(t, k.receive(c, 9))
		requireFull(t, here.heard(), 1)
		requireFull(t, there.heard(), 1)
		require.Empty(t, k.receiveFor(c, time.Minute))
		requireFull(t, here.heard(), 6) // as long as it lasts
		requireFull(t, there.heard(), 6)
		k.requireLag("t", "g", event.Lag{Waiting: 2, Dead: 2})

		k.redriveKey("t", "g", "secret", 2)
		k.ack(c, k.receive(c, 9)...)
		require.Empty(t, k.receiveFor(c, time.Minute))
		require.Empty(t, here.heard(), "it is over")

		k.park(c, "t", "secret:5", "secret:6", "secret:7")
		require.Empty(t, k.receive(c, 9))
		requireFull(t, here.heard(), 1)
		k.redriveKey("t", "g", "secret", 2)
		k.settle(c, event.Park(k.receive(c, 1)[0].Token, failed))
		requireFull(t, here.heard(), 1) // anew
		there.heard()
		require.Empty(t, elsewhere.heard())
	})
}

// It is over, and comes back, also while the key stays parked.
func TestParkWithoutRoomAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.DeadCapacity(2))
		var told listener
		told.k = k
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: told.onError})
		k.texts("t", "other")
		k.settle(c, event.Dead(k.receive(c, 1)[0].Token, failed))
		k.park(c, "t", "k:1", "k:2")
		require.Empty(t, k.receive(c, 9))
		requireFull(t, told.heard(), 1)
		require.NoError(t, k.Discard(t.Context(), k.letters("t", "g")[0]))
		require.Empty(t, k.receive(c, 9))
		require.Empty(t, told.heard())
		k.texts("t", "k:3")
		require.Empty(t, k.receive(c, 9))
		requireFull(t, told.heard(), 1)
	})
}

// Who joins later is told too.
func TestParkWithoutRoomIsToldToTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, memory.DeadCapacity(2))
		var first, second listener
		first.k, second.k = k, k
		c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: first.onError})
		k.park(c, "t", "k:1", "k:2", "k:3")
		require.Empty(t, k.receive(c, 9))
		requireFull(t, first.heard(), 1)
		require.NoError(t, k.closeAtOnce(c))
		c = k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: second.onError})
		require.Empty(t, k.receive(c, 9))
		requireFull(t, second.heard(), 1)
		require.Empty(t, first.heard())
	})
}

// It is told when nothing is locked, whoever notices it.
func TestParkWithoutRoomIsToldByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, notices := range map[string]func(k kit) error{
			"census": func(k kit) error { return second(k.Groups(t.Context(), "t")) },
			"lag":    func(k kit) error { return second(k.Lag(t.Context(), "t", "g")) },
			"remove": func(k kit) error { return k.RemoveGroup(t.Context(), "g", "u") },
		} {
			k := newKit(t, memory.DeadCapacity(2))
			var told listener
			told.k = k
			c := k.subscribe(event.Subscription{Group: "g", Topics: []string{"t"}, OnError: told.onError})
			require.NoError(t, k.EnsureGroup(t.Context(), "g", event.Newest(), "u"))
			k.park(c, "t", "k:1", "k:2")
			k.produce("t", in("k:3", time.Hour))
			require.Empty(t, k.receive(c, 9))
			time.Sleep(time.Hour) // virtual
			require.Empty(t, told.heard())
			require.NoError(t, notices(k), name)
			requireFull(t, told.heard(), 1)
		}
	})
}

// paid is the event of a Bus.
type paid struct{ Account string }

func (p paid) EventKey() string { return p.Account }

// A Bus isn't ready as long as it lasts.
func TestParkWithoutRoomIsNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New(memory.DeadCapacity(1))
		b := bus.New(bus.Config{Channel: ch})
		broken := true
		bus.Subscribe(b, "g", func(context.Context, paid) error {
			if broken {
				return errors.New("no such account")
			}
			return nil
		}, bus.ParkKey(), bus.Retry(bus.Backoff{Attempts: 1}))
		require.NoError(t, b.Start(t.Context()))
		defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
		require.NoError(t, b.Publish(t.Context(), paid{"a"}))
		synctest.Wait()
		require.NoError(t, b.Ready())
		require.NoError(t, b.Publish(t.Context(), paid{"a"}))
		for range 5 {
			synctest.Wait()
			require.ErrorIs(t, b.Ready(), event.ErrFull)
			time.Sleep(20*time.Minute + time.Second) // virtual; not at a moment at which it is told again
		}
		broken = false
		_, err := b.RedriveKey(t.Context(), "g", "a")
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, b.Ready())
	})
}
