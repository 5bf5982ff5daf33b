package bridgeredis_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// The tests of this file do the same thing with Watermill alone and with a Bus on the
// bridge, and compare.

// An event that always fails is handed out for ever alone, and nothing behind it ever is.
func TestPoison(t *testing.T) {
	const bound = 1000 // runs of the failing one after which the test has seen enough
	runs, others, letters := make(map[string]int), make(map[string]int), 0
	for _, w := range ways {
		topic, publish := onTopic(t)
		behind := ids("behind", 10)
		publish(append([]string{"poison"}, behind...)...)
		s := newSeen()
		svc := w.start(t, "g", topic, func(_ context.Context, id string) error {
			s.add(id)
			if id == "poison" {
				return errors.New("never")
			}
			return nil
		})
		require.True(t, s.until(time.Minute, func() bool { return s.of("poison") >= bound || s.among(behind) == len(behind) }))
		if svc.bus != nil {
			for _, err := range svc.bus.DeadLetters(t.Context(), "g") {
				require.NoError(t, err)
				letters++
			}
		}
		runs[w.name], others[w.name] = s.of("poison"), s.among(behind)
		svc.stop()
	}
	t.Logf("runs of the failing event: %v; handled of the 10 behind it: %v; dead letters: %d", runs, others, letters)
	require.GreaterOrEqual(t, runs["alone"], bound)
	require.Zero(t, others["alone"])
	require.Equal(t, 3, runs["through the bridge"])
	require.Equal(t, 10, others["through the bridge"])
	require.Equal(t, 1, letters)
}

// When a member is shut down while a handler is at work, its Ack is forgotten alone: the
// event is handled again when it has been idle for long. Nothing is lost either way.
func TestShutdownWhileAtWork(t *testing.T) {
	repeats := make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t)
		all := ids("e", 20)
		publish(all...)
		s := newSeen()
		release := make(chan struct{})
		svc := w.start(t, "g", topic, func(_ context.Context, id string) error {
			if s.of(id) == 0 && id == all[0] {
				s.add(id)
				<-release
				return nil
			}
			s.add(id)
			return nil
		})
		require.True(t, s.until(time.Minute, func() bool { return s.of(all[0]) == 1 }))
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			svc.stop()
		}()
		select { // it waits for the handler
		case <-stopped:
			require.Fail(t, "the service stopped in the middle of a handler")
		case <-time.After(100 * time.Millisecond):
		}
		close(release)
		<-stopped
		svc = w.start(t, "g", topic, func(_ context.Context, id string) error { s.add(id); return nil })
		require.True(t, s.until(time.Minute, func() bool { return s.among(all) == len(all) }), "something is lost")
		s.until(4*time.Second, func() bool { return s.of(all[0]) > 1 })
		svc.stop()
		repeats[w.name] = s.of(all[0]) - 1
	}
	t.Logf("handled again although its handler had succeeded: %v", repeats)
	require.Equal(t, map[string]int{"alone": 1, "through the bridge": 0}, repeats)
}

// A handler that takes longer than a message may be idle goes on beside another's alone,
// and isn't told.
func TestLongHandler(t *testing.T) {
	together := make(map[string]bool)
	for _, w := range ways {
		topic, publish := onTopic(t)
		publish("long")
		s := newSeen()
		release := make(chan struct{})
		h := func(ctx context.Context, id string) error {
			s.add(id)
			defer s.add("end")
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-release:
				return nil
			}
		}
		members := []service{w.start(t, "g", topic, h), w.start(t, "g", topic, h)}
		require.True(t, s.until(time.Minute, func() bool { return s.of("long") > 1 }))
		together[w.name] = !s.until(time.Second, func() bool { return s.of("end") > 0 })
		close(release)
		for _, m := range members {
			m.stop()
		}
	}
	t.Logf("two handlers were at work on one event at the same time: %v", together)
	require.Equal(t, map[string]bool{"alone": true, "through the bridge": false}, together)
}

// An entry that nobody on Watermill wrote ends the subscription alone, and with it the
// service.
func TestForeignEntry(t *testing.T) {
	rdb := client(t)
	others, letters := make(map[string]int), 0
	for _, w := range ways {
		topic, publish := onTopic(t)
		require.NoError(t, rdb.XAdd(t.Context(), &redis.XAddArgs{Stream: topic, Values: []any{"temperature", "21", "at", "home"}}).Err())
		behind := ids("behind", 10)
		publish(behind...)
		s := newSeen()
		svc := w.start(t, "g", topic, func(_ context.Context, id string) error { s.add(id); return nil })
		s.until(3*time.Second, func() bool { return s.among(behind) == len(behind) })
		if svc.bus != nil {
			for l, err := range svc.bus.DeadLetters(t.Context(), "g") {
				require.NoError(t, err)
				require.JSONEq(t, `{"temperature": "21", "at": "home"}`, string(l.Raw))
				letters++
			}
		}
		svc.stop()
		others[w.name] = s.among(behind)
	}
	t.Logf("handled of the 10 behind it: %v", others)
	require.Equal(t, map[string]int{"alone": 0, "through the bridge": 10}, others)
	require.Equal(t, 1, letters)
}
