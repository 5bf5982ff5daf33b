package bridgeredis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge/internal/membertest"
	"github.com/leat-go/leat/internal/servicetest"
)

// TestMemberProcess is a member in a process of its own, which TestMemberKilled kills.
func TestMemberProcess(t *testing.T) {
	way, topic, _ := strings.Cut(membertest.Task(), "|")
	for _, w := range ways {
		if w.name == way {
			w.start(t, "g", topic, membertest.Handler())
			select {} // until it is killed
		}
	}
}

// Members are killed in the middle of a handler, one after the other: nothing is lost
// through the bridge.
func TestMemberKilled(t *testing.T) {
	servicetest.Addr(t, "redis")
	t.Parallel()
	counts := make([]membertest.Counts, len(ways))
	t.Run("ways", func(t *testing.T) {
		for i, w := range ways {
			t.Run(w.name, func(t *testing.T) {
				t.Parallel()
				counts[i] = killMembers(t, w.name)
			})
		}
	})
	t.Logf("of 100 events, members killed 3 times: %+v alone, %+v through the bridge", counts[0], counts[1])
	require.Zero(t, counts[1].Lost)
	require.Equal(t, 100, counts[1].Handled)
}

func killMembers(t *testing.T, way string) membertest.Counts {
	t.Helper()
	topic, publish := onTopic(t)
	all := ids("e", 100)
	publish(all...)
	done := make(map[string]int)
	m := membertest.Start(t, way+"|"+topic)
	for _, runs := range []int{1, 30, 30} { // the first is killed at its first event
		for range runs {
			require.True(t, m.Next(time.Minute, done))
		}
		m.Kill()
		m = membertest.Start(t, way+"|"+topic)
	}
	for silent := 0; silent < 30 && membertest.Count(all, done).Lost > 0; {
		if !m.Next(time.Second, done) {
			silent++
		}
	}
	for m.Next(3*time.Second, done) { // what comes again
	}
	m.Kill()
	return membertest.Count(all, done)
}
