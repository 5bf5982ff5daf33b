package kafka

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
)

// settledOf returns the offsets that a progress says are settled.
func settledOf(p progress) map[int64]bool {
	out := make(map[int64]bool)
	for _, s := range p.settled {
		for o := s.from; o < s.to; o++ {
			out[o] = true
		}
	}
	return out
}

func randomProgress(r *rand.Rand, base int64, n int) (p progress) {
	for o := base + 1; o < base+int64(n); {
		from := o + r.Int64N(4)
		to := from + 1 + r.Int64N(8)
		p.settled = append(p.settled, span{from, to})
		if r.IntN(3) == 0 {
			p.fail(to, 1+r.Int32N(9))
		}
		o = to + 1
	}
	p.delayed = r.IntN(5)
	return p
}

func TestProgressSurvivesItsEncoding(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		base := r.Int64N(1 << 40)
		p := randomProgress(r, base, 1+r.IntN(200))
		got := decodeProgress(base, p.encode(base, maxMetadata))
		assert.Equal(t, settledOf(p), settledOf(got))
		assert.True(t, maps.Equal(p.failures, got.failures), "%v, %v", p.failures, got.failures)
		assert.Equal(t, p.delayed, got.delayed)
	}
}

func TestProgressFindsRoomForAWindowOfOffsets(t *testing.T) {
	const base = 1 << 40
	var worst progress // every second one is settled
	for o := int64(1); o < most; o += 2 {
		worst.settled = append(worst.settled, span{base + o, base + o + 1})
	}
	text := worst.encode(base, maxMetadata)
	assert.LessOrEqual(t, len(text), maxMetadata)
	assert.Equal(t, settledOf(worst), settledOf(decodeProgress(base, text)))
}

func TestProgressKeepsToTheLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, limit := range []int{0, 5, 20, 100, 1000, maxMetadata} {
		p := randomProgress(r, 0, 100_000)
		text := p.encode(0, limit)
		assert.LessOrEqual(t, len(text), limit)
		all := settledOf(p)
		for o := range settledOf(decodeProgress(0, text)) {
			if !all[o] {
				t.Fatalf("limit %d: %d is not settled", limit, o)
			}
		}
	}
}

func TestProgressOfOthersIsNone(t *testing.T) {
	for _, text := range []string{
		"", "member-1", "leat2:AAAA", "leat1:", "leat1:!", "leat1:A", "leat1:AHgA", "leat1:AHIFAA", "leat1:AHIBAA", "leat1:AHL/////////////fw",
	} {
		assert.Empty(t, settledOf(decodeProgress(7, text)), text)
	}
}

func FuzzDecodeProgress(f *testing.F) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 20 {
		p := randomProgress(r, 100, 50)
		f.Add(p.encode(100, maxMetadata))
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > maxMetadata {
			return
		}
		p := decodeProgress(100, text)
		last := int64(100)
		for _, s := range p.settled {
			if s.from < last || s.to <= s.from {
				t.Fatalf("%v", p.settled)
			}
			last = s.to
		}
	})
}
