package bridgenats_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// The tests of this file do the same thing with Watermill alone and with a Bus on the
// bridge, and compare.

// An event that always fails is handed out for ever alone.
func TestPoison(t *testing.T) {
	const bound = 1000 // runs of the failing one after which the test has seen enough
	runs, letters := make(map[string]int), 0
	for _, w := range ways {
		topic, publish := onTopic(t)
		publish("poison", "behind")
		s := newSeen()
		svc := w.start(t, topic, s)
		require.True(t, s.until(time.Minute, func() bool { return s.of("end behind") > 0 && (svc.bus != nil || s.of("end poison") >= bound) }))
		runs[w.name] = s.of("begin poison")
		if svc.bus != nil {
			for _, err := range svc.bus.DeadLetters(t.Context(), "g") {
				require.NoError(t, err)
				letters++
			}
		}
		svc.stop()
	}
	t.Logf("runs of the failing event: %v; dead letters: %d", runs, letters)
	require.GreaterOrEqual(t, runs["alone"], bound)
	require.Equal(t, 3, runs["through the bridge"])
	require.Equal(t, 1, letters)
}

// A handler that takes longer than the server waits goes on beside another's alone, and
// isn't told.
func TestLongHandler(t *testing.T) {
	together := make(map[string]bool)
	for _, w := range ways {
		topic, publish := onTopic(t)
		publish("long")
		s := newSeen()
		members := []service{w.start(t, topic, s), w.start(t, topic, s)}
		require.True(t, s.until(time.Minute, func() bool { return s.of("begin long") > 1 }))
		together[w.name] = !s.until(time.Second, func() bool { return s.of("end long") > 0 })
		for _, m := range members {
			m.release()
		}
		for _, m := range members {
			m.stop()
		}
	}
	t.Logf("two handlers were at work on one event at the same time: %v", together)
	require.Equal(t, map[string]bool{"alone": true, "through the bridge": false}, together)
}

// The place of a group goes 5 s after its last member alone: what it has handled comes
// again, all of it.
func TestGroupWithoutMembers(t *testing.T) {
	repeats := make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t)
		all := ids("e", 10)
		publish(all...)
		s := newSeen()
		svc := w.start(t, topic, s)
		require.True(t, s.until(time.Minute, func() bool { return s.handled(all) == len(all) }))
		svc.stop()
		_, js := client(t)
		if svc.bus == nil {
			stream, err := js.Stream(t.Context(), topic)
			require.NoError(t, err)
			require.Eventually(t, func() bool {
				info, err := stream.Info(t.Context())
				return err == nil && info.State.Consumers == 0
			}, time.Minute, 100*time.Millisecond)
		} else {
			stays, err := js.Consumer(t.Context(), topic, "shop_g")
			require.NoError(t, err)
			require.NotEmpty(t, stays.CachedInfo().Config.Durable)
			require.Zero(t, stays.CachedInfo().Config.InactiveThreshold)
		}
		publish("marker")
		s = newSeen()
		svc = w.start(t, topic, s)
		require.True(t, s.until(time.Minute, func() bool { return s.of("end marker") == 1 }))
		svc.stop()
		repeats[w.name] = s.handled(all)
	}
	t.Logf("of 10 handled events came again: %v", repeats)
	require.Equal(t, map[string]int{"alone": 10, "through the bridge": 0}, repeats)
}

// When a member is shut down while a handler is at work, the process alone nearly always
// panics: what was sent to it in advance goes to a closed channel. What it had at work is
// handled again then. Nothing is lost either way.
func TestShutdownWhileAtWork(t *testing.T) {
	crashes, repeats := make(map[string]string), make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t)
		behind := ids("e", 20)
		publish(append([]string{"busy"}, behind...)...)
		s := newSeen()
		svc := w.start(t, topic, s)
		require.True(t, s.until(time.Minute, func() bool { return s.of("begin busy") == 1 }))
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			svc.stop()
		}()
		select { // it waits for the handler, unless it panics
		case <-stopped:
			require.Nil(t, svc.bus)
		case <-time.After(200 * time.Millisecond):
		}
		svc.release()
		<-stopped
		crashes[w.name] = svc.crash()
		s = newSeen()
		svc = through(t, topic, s)
		svc.release()
		require.True(t, s.until(time.Minute, func() bool { return s.handled(behind) == len(behind) }), "something is lost")
		s.until(4*time.Second, func() bool { return s.of("end busy") > 0 })
		svc.stop()
		repeats[w.name] = s.of("end busy")
	}
	t.Logf("panics: %q; handled again although its member had waited: %v", crashes, repeats)
	require.Empty(t, crashes["through the bridge"])
	require.Zero(t, repeats["through the bridge"])
	if crashes["alone"] != "" { // a race of its own, nearly always lost
		require.Equal(t, "panic: send on closed channel", crashes["alone"])
		require.Equal(t, 1, repeats["alone"])
	}
}

// A header with two values is the end of each process that gets it alone.
func TestHeaderWithTwoValues(t *testing.T) {
	crashes, others := make(map[string]bool), make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t)
		nc, _ := client(t)
		require.NoError(t, nc.PublishMsg(&nats.Msg{Subject: topic, Header: nats.Header{"Accept": {"a", "b"}}, Data: []byte("foreign")}))
		require.NoError(t, nc.Flush())
		publish("behind")
		s := newSeen()
		svc := w.start(t, topic, s)
		s.until(3*time.Second, func() bool { return s.of("end behind") == 1 })
		svc.stop()
		crashes[w.name], others[w.name] = svc.crash() != "", s.of("end behind")
	}
	t.Logf("panics: %v; handled of the one behind it: %v", crashes, others)
	require.Equal(t, map[string]bool{"alone": true, "through the bridge": false}, crashes)
	require.Equal(t, map[string]int{"alone": 0, "through the bridge": 1}, others)
}
