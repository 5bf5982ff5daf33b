package kafka

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What the owner before us settled ahead is told to the owner after us.
func TestInheritedProgressIsHandedOn(t *testing.T) {
	c := &consumer{}
	o := &tenure{c: c, keys: parkedKeys{fold: newFold(true)}}
	l := &lane{t: o, next: -1}
	inherited := []span{{12, 20}, {30, 40}}
	l.begin(10, progress{settled: inherited})
	for at := int64(10); at < 50; at++ {
		l.enter(&kgo.Record{Offset: at}, slot{offset: at}, nil)
	}
	require.EqualValues(t, 10, l.base(nil))
	require.Equal(t, inherited, l.progress(nil).settled)

	n := l.first
	l.set(n, settled)
	l.set(n+1, settled)
	require.EqualValues(t, 20, l.base(nil), "the inherited ones are below it now")
	require.Equal(t, inherited[1:], l.progress(nil).settled)
}

// A record that failed and is never read again, because retention took it or it stands
// behind its parked key already, takes nothing else from what the owner after us is told.
func TestFailuresOfWhatIsGoneAreForgotten(t *testing.T) {
	c := &consumer{}
	o := &tenure{c: c, keys: parkedKeys{fold: newFold(true)}}
	l := &lane{t: o, next: -1}
	l.begin(10, progress{failures: map[int64]int32{10: 2, 30: 1}})
	for at := int64(11); at < 20; at++ {
		l.enter(&kgo.Record{Offset: at}, slot{offset: at}, nil)
	}
	l.set(l.first+2, settled)
	p := l.progress(nil)
	told := decodeProgress(l.base(nil), p.encode(l.base(nil), maxMetadata))
	require.Equal(t, []span{{13, 14}}, told.settled)
	require.Equal(t, map[int64]int32{30: 1}, told.failures)
}

// A delayed event comes behind those that were there when it became due, also when
// nobody had fetched these.
func TestDelayedTakeTheirPlaceWhenTheyAreDue(t *testing.T) {
	c := &consumer{}
	o := &tenure{c: c, keys: parkedKeys{fold: newFold(true)}}
	l := &lane{t: o, next: -1}
	l.begin(0, progress{})
	push := func(s state) uint64 { return l.push(slot{offset: int64(l.last), state: s}) }
	handed := func() (out []uint64) {
		for n, ok := l.take(); ok; n, ok = l.take() {
			l.set(n, inHand)
			out = append(out, n)
		}
		return out
	}
	first, delayed1, delayed2, second := push(queued), push(delayed), push(delayed), push(queued)
	l.cameDue(delayed1)
	third := push(queued)
	require.Equal(t, []uint64{first, second, delayed1, third}, handed())
	l.cameDue(delayed2)
	fourth := push(queued)
	require.Equal(t, []uint64{delayed2, fourth}, handed())
}

// What an owner before us has settled may wait in the delay topic, where there is one: it is in no
// gap then. What was never the group's is.
func TestGapBehindAnotherOwner(t *testing.T) {
	for _, delays := range []bool{false, true} {
		c := &consumer{ch: &Channel{cfg: Config{DelayTopics: delays}}}
		o := &tenure{c: c, keys: parkedKeys{fold: newFold(true)}}
		l := &lane{t: o, next: -1}
		l.begin(10, progress{settled: []span{{11, 13}}})
		if delays {
			l.passed = 10
		}
		var gaps []int64
		for at := int64(10); at < 15; at++ {
			n := l.last
			l.enter(&kgo.Record{Offset: at}, slot{offset: at}, nil)
			if s := l.slot(n); s != nil && s.state != settled {
				gaps = append(gaps, s.gap)
			}
		}
		want := []int64{10, 2, 0}
		if delays {
			want = []int64{0, 0, 0}
		}
		require.Equal(t, want, gaps)
	}
}
