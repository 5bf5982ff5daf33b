package bus_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// A million events through three groups (a tenth under the race detector): none is
// lost, none doubled, no goroutine stays, and the heap is as small as before.
func TestManyEventsThroughThreeGroups(t *testing.T) {
	n := 1_000_000
	if raceEnabled {
		n /= 10
	}
	before, goroutines := liveHeap(), runtime.NumGoroutine()
	b := bus.New(bus.Config{Channel: memory.New()})
	seen := new([3][]atomic.Uint32) // the handlers stay reachable, their counts don't
	for g := range seen {
		seen[g] = make([]atomic.Uint32, n)
		bus.SubscribeRaw(b, "g"+strconv.Itoa(g), []string{"load"}, func(_ context.Context, e event.Event) error {
			seen[g][binary.BigEndian.Uint64(e.Data())].Add(1)
			return nil
		}, bus.Workers(1+g))
	}
	start(t, b)
	data := make([]byte, 64)
	for i := range n {
		binary.BigEndian.PutUint64(data, uint64(i))
		publish(t, b, event.New("/load", "load", data))
	}
	if err := b.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	for g := range seen {
		for i := range seen[g] {
			if c := seen[g][i].Load(); c != 1 {
				t.Fatalf("group %d handled event %d %d times", g, i, c)
			}
		}
	}
	clear(seen[:])
	for range 100 { // goroutines that have returned take a moment to be gone
		if runtime.NumGoroutine() <= goroutines {
			break
		}
		runtime.Gosched()
	}
	if left := runtime.NumGoroutine(); left > goroutines {
		t.Errorf("%d goroutines, %d at the start", left, goroutines)
	}
	if grown := int64(liveHeap()) - int64(before); grown > 8<<20 {
		t.Errorf("the live heap grew by %d KiB", grown>>10)
	}
	runtime.KeepAlive(b)
}

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
