package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// deadLog is a partition of a dead-letter topic.
type deadLog struct {
	t  *testing.T
	rs []*kgo.Record
}

func (l *deadLog) add(r *kgo.Record) int64 {
	r.Offset = int64(len(l.rs))
	l.rs = append(l.rs, r)
	return r.Offset
}

func (l *deadLog) letter(key, id, kind string, at int64) int64 {
	r := new(kgo.Record)
	require.NoError(l.t, encode(r, event.New("/test", "tested", nil).WithID(id).WithKey(key)))
	h := headers(r.Headers)
	h.add(headerKind, kind)
	h.origin(event.Position{Offset: at})
	r.Headers = h
	return l.add(r)
}

func (l *deadLog) note(kind, key string, command int64, targets ...int64) int64 {
	h := headers{{Key: headerKind, Value: []byte(kind)}}
	h.number(headerCommand, command)
	return l.add(&kgo.Record{Key: []byte(key), Value: encodeOffsets(targets), Headers: h})
}

// both folds the log as an owner and as one who lists.
func (l *deadLog) both() (owner, lister fold) {
	owner, lister = newFold(true), newFold(false)
	for _, r := range l.rs {
		owner.apply(r)
		lister.apply(r)
		owner.apply(r) // what was seen is not seen twice
	}
	return owner, lister
}

func TestFoldParksAndReleases(t *testing.T) {
	l := &deadLog{t: t}
	plain := l.letter("a", "a-1", kindDead, 1)
	front := l.letter("b", "b-1", kindParked, 2)
	second := l.letter("b", "b-2", kindParked, 3)
	owner, lister := l.both()
	assert.Equal(t, "b-1", owner.front("b"))
	assert.Empty(t, owner.front("a"))
	assert.True(t, owner.holds(event.Position{Offset: 3}))
	assert.Len(t, owner.live, 2)
	assert.Len(t, lister.live, 3)
	assert.Equal(t, front, owner.restart(), "the next owner has to see the letters of a parked key")

	l.note(kindDiscard, "b", 0, front)
	owner, _ = l.both()
	assert.Equal(t, "b-2", owner.front("b"))

	redrive := l.note(kindRedrive, "b", 0, second)
	third := l.letter("b", "b-3", kindParked, 4) // on its way when the redrive came
	owner, lister = l.both()
	assert.True(t, lister.live[second].leaving)
	assert.Contains(t, owner.commands, redrive)
	assert.Equal(t, second, owner.restart())

	l.note(kindDone, "b", redrive, second, third)
	owner, lister = l.both()
	assert.Empty(t, owner.front("b"))
	assert.Empty(t, owner.commands)
	assert.Len(t, lister.live, 1)
	assert.Contains(t, lister.live, plain)
	assert.Equal(t, int64(len(l.rs)), owner.restart(), "nothing left that the next owner has to know")
}

func TestFoldRedrivesAllBehindTheFront(t *testing.T) {
	l := &deadLog{t: t}
	front := l.letter("b", "b-1", kindParked, 2)
	behind := l.letter("b", "b-2", kindParked, 3)
	l.note(kindRedrive, "b", 0, front)
	_, lister := l.both()
	assert.True(t, lister.live[behind].leaving)
}

func TestOffsetsInTheirValue(t *testing.T) {
	for _, offsets := range [][]int64{nil, {0}, {5, 6, 7}, {1 << 50, 3, 1 << 40}} {
		got, err := offsetsIn(encodeOffsets(offsets))
		require.NoError(t, err)
		assert.Equal(t, offsets, got)
	}
	_, err := offsetsIn([]byte{0x80})
	assert.ErrorIs(t, err, errOffsets)
}
