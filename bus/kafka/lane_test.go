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
