package command_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/operationstest"
	"github.com/leat-go/leat/event"
)

// openMemory returns the same store to the same test.
func openMemory() func(tb testing.TB, keep time.Duration) command.Operations {
	var all sync.Map
	return func(tb testing.TB, keep time.Duration) command.Operations {
		tb.Helper()
		m, _ := all.LoadOrStore(tb, command.NewMemory(command.MemoryConfig{Keep: keep}))
		return m.(*command.Memory)
	}
}

func TestMemory(t *testing.T) {
	operationstest.Run(t, openMemory(), operationstest.Bubble(), operationstest.Keep(time.Hour))
	t.Run("in real time", func(t *testing.T) {
		operationstest.Run(t, openMemory(), operationstest.Keep(time.Second))
	})
}

func create(t *testing.T, m *command.Memory, id string, notBefore time.Time) error {
	t.Helper()
	_, err := m.Create(t.Context(), command.Operation{ID: id, State: command.Accepted, NotBefore: notBefore})
	return err
}

// What is kept is bounded, and nothing is forgotten to make room: that there is some again,
// an id has to be forgotten too.
func TestMemoryIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := command.NewMemory(command.MemoryConfig{Keep: time.Hour, Max: 100})
		for i := range 100 {
			require.NoError(t, create(t, m, fmt.Sprint(i), time.Time{}))
		}
		full := func() {
			t.Helper()
			require.ErrorIs(t, create(t, m, "new", time.Time{}), command.ErrFull)
			_, err := m.Get(t.Context(), "new")
			require.ErrorIs(t, err, command.ErrNoOperation)
			require.ErrorIs(t, create(t, m, "7", time.Time{}), command.ErrExists, "it is known, full or not")
		}
		full()
		o, err := command.Change(t.Context(), m, "7", func(*command.Operation) bool { return true })
		require.NoError(t, err, "what is there can change")
		require.EqualValues(t, 2, o.Version)
		time.Sleep(90 * time.Minute) // virtual
		full()
		_, err = m.Get(t.Context(), "8")
		require.ErrorIs(t, err, command.ErrForgotten)
		time.Sleep(30 * time.Minute) // virtual
		_, err = m.Get(t.Context(), "8")
		require.ErrorIs(t, err, command.ErrNoOperation, "in the end it is forgotten that it was forgotten")
		for i := range 100 {
			require.NoError(t, create(t, m, fmt.Sprint(i), time.Time{}), "there is room again")
		}
		full()
	})
}

// The zero value of the config is a day, and room for 100,000.
func TestMemoryDefaults(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := command.NewMemory(command.MemoryConfig{})
		for i := range 100_000 {
			require.NoError(t, create(t, m, fmt.Sprint(i), time.Time{}))
		}
		require.ErrorIs(t, create(t, m, "new", time.Time{}), command.ErrFull)
		time.Sleep(24*time.Hour - 1) // virtual
		_, err := m.Get(t.Context(), "0")
		require.NoError(t, err)
		time.Sleep(time.Nanosecond) // virtual
		_, err = m.Get(t.Context(), "0")
		require.ErrorIs(t, err, command.ErrForgotten)
	})
}

// Each is forgotten at its time, in whatever order they were created, changed and had to
// wait: a model that looks at all of them says the same.
func TestMemoryForgetsInOrder(t *testing.T) {
	const keep = 100 * time.Minute
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			m := command.NewMemory(command.MemoryConfig{Keep: keep})
			ends := make(map[string]time.Time)
			look := func(id string) (command.Operation, error) {
				o, err := m.Get(t.Context(), id)
				end, known := ends[id]
				switch now := time.Now(); {
				case !known || !now.Before(end.Add(keep)):
					require.ErrorIs(t, err, command.ErrNoOperation, id)
				case !now.Before(end):
					require.ErrorIs(t, err, command.ErrForgotten, id)
				default:
					require.NoError(t, err, id)
				}
				return o, err
			}
			for range 2000 {
				id := fmt.Sprint(rnd.IntN(100))
				o, err := look(id)
				o.ID, o.NotBefore = id, time.Now().Add(time.Duration(rnd.IntN(400)-200)*time.Minute)
				change := m.Swap
				if err != nil {
					change = m.Create
				}
				if _, err = change(t.Context(), o); err == nil {
					ends[id] = o.Kept(time.Now(), keep)
				} else {
					require.ErrorIs(t, err, command.ErrExists)
				}
				time.Sleep(time.Duration(rnd.IntN(10)) * time.Minute) // virtual
			}
			for range 60 {
				for i := range 100 {
					_, _ = look(fmt.Sprint(i))
				}
				time.Sleep(10 * time.Minute) // virtual
			}
		})
	}
}

// heapBytes is how much is in use.
func heapBytes() int64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return int64(s.HeapAlloc)
}

// Nothing is left of watchers that ended, nor of what is forgotten.
func TestMemoryLeavesNothing(t *testing.T) {
	m := command.NewMemory(command.MemoryConfig{Keep: 5 * time.Millisecond})
	stay, err := m.Watch(t.Context(), "one", func() {})
	require.NoError(t, err)
	defer stay()
	watch := func(id string) {
		stop, err := m.Watch(t.Context(), id, func() {})
		require.NoError(t, err)
		stop()
		stop()
	}
	watch("one")
	before := heapBytes()
	for i := range 100_000 {
		watch("one")
		watch(fmt.Sprint(i))
	}
	require.Less(t, heapBytes()-before, int64(1<<20))

	result := make([]byte, 1<<20)
	for i := range 50 {
		o := command.Operation{ID: fmt.Sprint(i), Result: &event.Result{Data: result}}
		_, err := m.Create(t.Context(), o)
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool {
		_, err := m.Get(t.Context(), "49")
		return err != nil
	}, 10*time.Second, time.Millisecond)
	require.Less(t, heapBytes()-before, int64(1<<20)+int64(len(result)))
	runtime.KeepAlive(m)
}

// Nothing is left of what is forgotten but the room that it took.
func TestMemoryForgetsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := command.NewMemory(command.MemoryConfig{})
		before := heapBytes()
		for i := range 20_000 {
			require.NoError(t, create(t, m, fmt.Sprint(i), time.Time{}))
		}
		full := heapBytes() - before
		time.Sleep(48 * time.Hour) // virtual
		_, err := m.Get(t.Context(), "0")
		require.ErrorIs(t, err, command.ErrNoOperation)
		left := heapBytes() - before
		runtime.KeepAlive(m)
		require.Less(t, left, full/3)
	})
}
