package event

import (
	"math"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestNewIDIsAULIDOfNow(t *testing.T) {
	var fresh sequence
	u := fresh.next(uint64(time.Now().UnixMilli()))
	assert.WithinDuration(t, time.Now(), ulid.Time(u.Time()), time.Second)
	parsed, err := ulid.ParseStrict(NewID())
	require.NoError(t, err)
	assert.NotZero(t, parsed)
}

func TestIDsGrowWithinAGoroutineAndAreUnique(t *testing.T) {
	const goroutines, each = 8, 2000
	made := make([][]string, goroutines)
	var wg sync.WaitGroup
	for i := range made {
		wg.Go(func() {
			for range each {
				made[i] = append(made[i], NewID())
			}
		})
	}
	wg.Wait()
	seen := make(map[string]bool)
	for _, ids := range made {
		assert.True(t, slices.IsSorted(ids))
		for _, id := range ids {
			assert.False(t, seen[id])
			seen[id] = true
		}
	}
	assert.Len(t, seen, goroutines*each)
}

func TestIDsGrowAcrossGoroutines(t *testing.T) {
	baton := make(chan string, 1)
	baton <- NewID()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				last := <-baton
				id := NewID()
				assert.Greater(t, id, last)
				baton <- id
			}
		})
	}
	wg.Wait()
}

func TestIDsGrowWhenTheClockStepsBack(t *testing.T) {
	before := NewID()
	synctest.Test(t, func(t *testing.T) { // the clock of a bubble starts in the year 2000
		assert.Greater(t, NewID(), before)
		assert.Greater(t, New("/s", "t", nil).ID(), before)
	})

	var s sequence
	last := s.next(1_000_000)
	for _, ms := range []uint64{1_000_000, 999_999, 0, 1_000_000, 1_000_001, 5, 1_000_001} {
		u := s.next(ms)
		assert.Positive(t, u.Compare(last), "at %d", ms)
		last = u
	}
	assert.Equal(t, uint64(1_000_001), last.Time())
}

func TestIDsGrowWhenTheEntropyRunsOut(t *testing.T) {
	s := sequence{ms: 7, hi: 3, lo: math.MaxUint64}
	last := s.next(7)
	assert.Equal(t, uint16(4), s.hi)
	s = sequence{ms: 7, hi: math.MaxUint16, lo: math.MaxUint64}
	next := s.next(7)
	assert.Positive(t, next.Compare(last))
	assert.Equal(t, uint64(8), next.Time(), "the next millisecond, before it comes")
	assert.Zero(t, s.hi>>15, "with room to count up")
}

func TestIDsBeforeTheEpoch(t *testing.T) {
	var b [26]byte
	assert.Equal(t, 26, putNewID(b[:], time.Unix(-1, 0)))
	assert.Less(t, string(b[:]), "1", "a clock before 1970 doesn't spoil the ids that follow")
	assert.Less(t, NewID(), "1")
}

func TestDerivedID(t *testing.T) {
	// Fixed for all versions: a service that is updated while events are redelivered
	// must derive the ids that it derived before. Computed by another program.
	assert.Equal(t, "d-81118CJ11MEFK1076ZDYF2SVX8", DerivedID("shop.mailer", "/shop", "01JTAVQ8E9WXK6F0N7SDB5CZ2R", 0))
	assert.Equal(t, "d-7SQY4S7R10XKSAV41MM0R4SCG4", DerivedID("shop.mailer", "/shop", "01JTAVQ8E9WXK6F0N7SDB5CZ2R", 1))
	assert.Equal(t, "d-ZHJGBYSMY5AQE2E96HTHP24728", DerivedID("", "", "", 0))

	seen := make(map[string]bool)
	for _, parts := range [][3]string{
		{"g", "s", "i"}, {"gs", "", "i"}, {"g", "si", ""}, {"", "gs", "i"}, {"g", "", "si"}, {"1:g", "s", "i"}, {"g1:s", "", "i"}, {"G", "s", "i"},
	} {
		for ordinal := range 12 {
			id := DerivedID(parts[0], parts[1], parts[2], ordinal)
			assert.Len(t, id, inlineID, "fits the core")
			assert.Regexp(t, `^d-[0-9A-HJKMNP-TV-Z]{26}$`, id)
			assert.False(t, seen[id], parts)
			seen[id] = true
			assert.Equal(t, id, DerivedID(parts[0], parts[1], parts[2], ordinal))
		}
	}
	assert.NotEqual(t, DerivedID("g", "s", "1", 1), DerivedID("g", "s", "", 11))
	assert.NotEqual(t, DerivedID("g", "s", "i", 1), DerivedID("g", "s", "i"+strconv.Itoa(1), 0))
}
