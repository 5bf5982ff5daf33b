package notify

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter reads the header Retry-After (RFC 9110, section 10.2.3: seconds, or a date), at
// most limit and at least 0. It says false where there is none that can be read.
func RetryAfter(h http.Header, now time.Time, limit time.Duration) (time.Duration, bool) {
	text := strings.TrimSpace(h.Get("Retry-After"))
	if text == "" {
		return 0, false
	}
	if strings.Trim(text, "0123456789") == "" {
		seconds, err := strconv.ParseInt(text, 10, 64)
		if err != nil || seconds > int64(limit/time.Second) {
			return limit, true
		}
		return time.Duration(seconds) * time.Second, true
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), limit), true
}
