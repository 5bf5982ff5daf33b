package bridgekafka_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/internal/membertest"
	"github.com/leat-go/leat/internal/kafkatest"
)

// TestMemberProcess is a member in a process of its own, which TestMemberKilled kills.
func TestMemberProcess(t *testing.T) {
	name, topic, _ := strings.Cut(membertest.Task(), "|")
	for _, w := range ways {
		if w.name == name {
			w.start(t, kafkatest.Brokers(t), "g"+topic, topic, membertest.Handler())
			select {} // until it is killed
		}
	}
}

// Members are killed in the middle of a handler, one after the other: the first in that
// of its first event. Alone, a group has no place before its first commit, a second after
// its first Ack: the next member begins behind all that was published.
func TestMemberKilled(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	counts := make([]membertest.Counts, len(ways))
	t.Run("ways", func(t *testing.T) {
		for i, w := range ways {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				counts[i] = killMembers(t, brokers, w.name)
			})
		}
	})
	t.Logf("of 350 events, members killed 3 times: %+v alone, %+v through the bridge", counts[0], counts[1])
	require.GreaterOrEqual(t, counts[0].Lost, 50, "those before the first kill")
	require.Zero(t, counts[1].Lost)
	require.Equal(t, 350, counts[1].Handled)
}

func killMembers(t *testing.T, brokers []string, way string) membertest.Counts {
	t.Helper()
	topic, publish := onTopic(t, brokers)
	done := make(map[string]int)
	begin := func() *membertest.Member { // until it is at work: Watermill doesn't tell when a member has joined
		m := membertest.Start(t, way+"|"+topic)
		for n := 0; !m.Next(time.Second, done); n++ {
			require.Less(t, n, 60)
			publish("warm")
		}
		return m
	}
	all := ids("e", 350)
	m := begin()
	publish(all[:50]...)
	m.Kill()
	m = begin()
	for _, more := range [][]string{all[50:200], all[200:]} {
		publish(more...)
		for range 70 {
			require.True(t, m.Next(time.Minute, done))
		}
		m.Kill()
		m = begin()
	}
	for n := 0; done["end"] == 0; { // in order: what comes at all has come before it
		if !m.Next(time.Second, done) || n == 0 {
			require.Less(t, n, 60)
			publish("end")
			n++
		}
	}
	m.Kill()
	return membertest.Count(all, done)
}

// When a member is shut down while a handler is at work, its Ack is forgotten alone: the
// event is handled again. Nothing is lost either way.
func TestShutdownWhileAtWork(t *testing.T) {
	brokers := kafkatest.Brokers(t)
	repeats := make(map[string]int)
	for _, w := range ways {
		topic, publish := onTopic(t, brokers)
		s := newSeen()
		all := ids("e", 20)
		release := make(chan struct{})
		svc := w.start(t, brokers, "g"+topic, topic, func(_ context.Context, id string) error {
			s.add(id)
			if id == all[0] {
				<-release
			}
			return nil
		})
		for n := 0; s.of("warm") == 0; n++ {
			require.Less(t, n, 60)
			publish("warm")
			select {
			case <-s.news:
			case <-time.After(time.Second):
			}
		}
		publish(all...)
		s.until(t, "it is at work", func() bool { return s.of(all[0]) == 1 })
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
		svc = w.start(t, brokers, "g"+topic, topic, func(_ context.Context, id string) error { s.add(id); return nil })
		s.until(t, "all are handled", func() bool { return s.among(all) == len(all) })
		svc.stop()
		repeats[w.name] = s.of(all[0]) - 1
	}
	t.Logf("handled again although its handler had succeeded: %v", repeats)
	require.Equal(t, map[string]int{"alone": 1, "through the bridge": 0}, repeats)
}
