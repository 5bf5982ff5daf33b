package event

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTimesOfEachDay(t *testing.T) {
	for day := int64(0); day*86400+minSecond <= maxSecond; day++ {
		y, m, d := civil(day)
		if want := time.Unix(day*86400+minSecond, 0).UTC(); want.Year() != int(y) || want.Month() != time.Month(m) || want.Day() != int(d) {
			t.Fatalf("day %d is %v, got %d-%d-%d", day, want, y, m, d)
		}
		if got := days(y, m, d); got != day {
			t.Fatalf("day %d came back as %d", day, got)
		}
	}
}

func TestTimesAreThoseOfPackageTime(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		sec := minSecond + rnd.Int64N(maxSecond-minSecond+1)
		nsec := rnd.Uint32N(1_000_000_000)
		for range rnd.IntN(10) {
			nsec = nsec / 10 * 10
		}
		if rnd.IntN(4) == 0 {
			nsec = 0
		}
		want := time.Unix(sec, int64(nsec)).UTC()
		got := string(appendTime(nil, sec, nsec))
		require.Equal(t, want.Format(time.RFC3339Nano), got)
		require.LessOrEqual(t, len(got), timeBytes)

		zone := time.FixedZone("", (rnd.IntN(2*23*60)-23*60)*60)
		if local := want.In(zone); local.Year() >= 0 && local.Year() <= 9999 {
			s, n, ok := parseTime([]byte(local.Format(time.RFC3339Nano)))
			require.True(t, ok, local)
			require.Equal(t, [2]int64{sec, int64(nsec)}, [2]int64{s, int64(n)}, local)
		}
	}
}

func TestParseTime(t *testing.T) {
	at := time.Date(2018, 4, 5, 17, 31, 0, 0, time.UTC)
	for s, want := range map[string]time.Time{
		"2018-04-05T17:31:00Z":                at,
		"2018-04-05t17:31:00z":                at,
		"2018-04-05T17:31:00.000Z":            at,
		"2018-04-05T18:31:00+01:00":           at,
		"2018-04-05T16:31:00-01:00":           at,
		"2018-04-05T17:31:00-00:00":           at,
		"2018-04-05T17:31:00.5Z":              at.Add(5e8),
		"2018-04-05T17:31:00.123456789123Z":   at.Add(123456789),
		"2018-04-05T17:31:00.0000000009Z":     at,
		"2020-02-29T00:00:00Z":                time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC),
		"2000-02-29T23:59:59Z":                time.Date(2000, 2, 29, 23, 59, 59, 0, time.UTC),
		"0000-01-01T00:00:00+23:59":           time.Date(-1, 12, 31, 0, 1, 0, 0, time.UTC),
		"9999-12-31T23:59:59.999999999-23:59": time.Date(10000, 1, 1, 23, 58, 59, 999999999, time.UTC),
	} {
		sec, nsec, ok := parseTime([]byte(s))
		assert.True(t, ok, s)
		assert.Equal(t, want, time.Unix(sec, int64(nsec)).UTC(), s)
	}
	for _, s := range []string{
		"", "lunchtime", "2018-04-05", "2018-04-05T17:31Z", "2018-04-05T17:31:00", "2018-04-05 17:31:00Z", "2018-04-05T17:31:00X",
		"2018-04-05T17:31:00+25:00", "2018-04-05T17:31:00+01:60", "2018-04-05T17:31:00+xx:00", "2018-04-05T17:31:00+05", "2018-04-05T17:31:00+0500",
		"2018-04-05T17:31:00Z ", " 2018-04-05T17:31:00Z", "2018-04-05T17:31:00ZZ", "2018-04-05T17:31:00.Z", "2018-04-05T17:31:00,5Z",
		"2018-04-05T17:31:60Z", "2018-04-05T24:00:00Z", "2018-04-05T17:60:00Z", "2018-13-05T17:31:00Z", "2018-00-05T17:31:00Z",
		"2018-04-00T17:31:00Z", "2018-04-31T17:31:00Z", "2018-02-29T17:31:00Z", "1900-02-29T17:31:00Z", "2018-01-32T17:31:00Z",
		"18-04-05T17:31:00Z", "+2018-04-05T17:31:00Z", "-001-04-05T17:31:00Z", "2018-4-05T17:31:00Z", "2018/04/05T17:31:00Z", "20 8-04-05T17:31:00Z",
		"2018-04-05T17:31:00.5", "2018-04-05T17:31:00.5+", "2018-04-05T1:31:00ZZ", "２018-04-05T17:31:00Z",
	} {
		_, _, ok := parseTime([]byte(s))
		assert.False(t, ok, s)
	}
}

func TestFormatTimeBeyondRFC3339(t *testing.T) {
	assert.Empty(t, formatTime(time.Time{}))
	assert.Equal(t, "10000-01-01T00:00:00Z", formatTime(time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)))
}
