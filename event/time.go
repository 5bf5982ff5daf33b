package event

import (
	"encoding/binary"
	"time"
)

// Seconds of the years 0 to 9999, which RFC 3339 can write.
const (
	minSecond = -62167219200
	maxSecond = 253402300799
)

// instant drops the zone and the monotonic reading, which don't travel.
func instant(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.Unix(t.Unix(), int64(t.Nanosecond())).UTC()
}

func writable(sec int64) bool { return sec >= minSecond && sec <= maxSecond }

func formatTime(t time.Time) string {
	switch {
	case t.IsZero():
		return ""
	case !writable(t.Unix()):
		return t.UTC().Format(time.RFC3339Nano) // nothing encodes it: Validate refuses it
	}
	return string(appendTime(nil, t.Unix(), uint32(t.Nanosecond())))
}

// timeBytes is the longest that appendTime appends.
const timeBytes = len("2006-01-02T15:04:05.999999999Z")

// appendTime appends an instant of the years 0 to 9999 in RFC 3339, in UTC, with
// as many digits of a second as it needs.
func appendTime(dst []byte, sec int64, nsec uint32) []byte {
	sec -= minSecond // from here on nothing is negative
	day, sec := sec/86400, sec%86400
	year, month, mday := civil(day)
	dst = append(dst, byte('0'+year/1000), byte('0'+year/100%10))
	dst = append2(dst, year%100, '-')
	dst = append2(dst, month, '-')
	dst = append2(dst, mday, 'T')
	dst = append2(dst, sec/3600, ':')
	dst = append2(dst, sec/60%60, ':')
	dst = append(dst, byte('0'+sec%60/10), byte('0'+sec%10))
	if nsec != 0 {
		dst = append(dst, ".000000000"...)
		for i, n := len(dst)-1, nsec; n != 0; i, n = i-1, n/10 {
			dst[i] = byte('0' + n%10)
		}
		for dst[len(dst)-1] == '0' {
			dst = dst[:len(dst)-1]
		}
	}
	return append(dst, 'Z')
}

// append2 appends two digits and what follows them.
func append2(dst []byte, n int64, follow byte) []byte {
	return append(dst, byte('0'+n/10), byte('0'+n%10), follow)
}

// march is the first of March of year -400, counted back from the first of
// January of year 0. Years that begin in March have the leap day at their end, so
// that the days before a month are a linear function of it.
const march = 146097 - 60

// civil returns the date of a day counted from the first of January of year 0.
func civil(day int64) (year, month, mday int64) {
	day += march
	cycle, day := day/146097, day%146097 // of 400 years
	y := (day - day/1460 + day/36524 - day/146096) / 365
	day -= 365*y + y/4 - y/100
	m := (5*day + 2) / 153
	year, month, mday = cycle*400+y-400, m+3, day-(153*m+2)/5+1
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, mday
}

// days is the inverse of civil.
func days(year, month, mday int64) int64 {
	y, m := year+400, month-3
	if m < 0 {
		y, m = y-1, m+12
	}
	return 365*y + y/4 - y/100 + y/400 + (153*m+2)/5 + mday - 1 - march
}

// parseTime reads a date and time of RFC 3339. Digits beyond nanoseconds are cut;
// leap seconds are refused, as package time does.
func parseTime(s []byte) (sec int64, nsec uint32, ok bool) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return 0, 0, false
	}
	y1, y2, month, mday := digits2(s), digits2(s[2:]), digits2(s[5:]), digits2(s[8:])
	hour, minute, second := digits2(s[11:]), digits2(s[14:]), digits2(s[17:])
	if y1 > 99 || y2 > 99 || month-1 > 11 || mday-1 > 30 || hour > 23 || minute > 59 || second > 59 {
		return 0, 0, false
	}
	year := int64(y1)*100 + int64(y2)
	day := days(year, int64(month), int64(mday))
	if mday > 28 {
		if _, m, _ := civil(day); m != int64(month) {
			return 0, 0, false // there is no such day
		}
	}
	nsec, s, ok = parseFraction(s[19:])
	if !ok {
		return 0, 0, false
	}
	offset, ok := parseOffset(s)
	if !ok {
		return 0, 0, false
	}
	return minSecond + day*86400 + int64(hour)*3600 + int64(minute)*60 + int64(second) - offset, nsec, true
}

// parseFraction reads the fraction of a second, if there is one, and returns
// what follows.
func parseFraction(s []byte) (nsec uint32, rest []byte, ok bool) {
	if len(s) == 0 || s[0] != '.' {
		return 0, s, true
	}
	i := 1
	for unit := uint32(100_000_000); i < len(s) && s[i] >= '0' && s[i] <= '9'; i++ {
		nsec += uint32(s[i]-'0') * unit
		unit /= 10
	}
	return nsec, s[i:], i > 1
}

// parseOffset reads Z or ±hh:mm, in seconds.
func parseOffset(s []byte) (int64, bool) {
	if len(s) == 1 {
		return 0, s[0]|0x20 == 'z'
	}
	if len(s) != len("+00:00") || s[3] != ':' || (s[0] != '+' && s[0] != '-') {
		return 0, false
	}
	hour, minute := digits2(s[1:]), digits2(s[4:])
	if hour > 23 || minute > 59 {
		return 0, false
	}
	offset := int64(hour)*3600 + int64(minute)*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, true
}

// digits2 reads two digits; anything else is more than 99.
func digits2(s []byte) uint32 {
	d := binary.LittleEndian.Uint16(s)
	hi, lo := uint32(d&0xff)-'0', uint32(d>>8)-'0'
	if hi > 9 || lo > 9 {
		return 1 << 16
	}
	return hi*10 + lo
}
