package command

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// preference is what a client prefers, by RFC 7240.
type preference struct {
	async bool          // respond-async
	wait  time.Duration // for the outcome; 0: not at all
}

// preferred reads the Prefer headers of a request. What isn't understood is ignored, as the
// RFC asks for, and of a preference that is there twice the first counts. most bounds
// the time to wait.
func preferred(h http.Header, most time.Duration) preference {
	var p preference
	waits := false
	for one := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		one, _, _ = strings.Cut(one, ";")
		name, value, _ := strings.Cut(one, "=")
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "respond-async":
			p.async = true
		case "wait":
			if n, ok := seconds(value); ok && !waits {
				p.wait, waits = min(n, most), true
			}
		}
	}
	return p
}

// seconds reads a number of seconds.
func seconds(s string) (time.Duration, bool) {
	s = strings.Trim(strings.TrimSpace(s), `"`)
	n, err := strconv.ParseUint(s, 10, 31)
	return time.Duration(n) * time.Second, err == nil
}

// apply says which preferences an answer heeds.
func (p preference) apply(h http.Header, async, waited bool) {
	var applied []string
	if p.async && async {
		applied = append(applied, "respond-async")
	}
	if waited {
		applied = append(applied, "wait="+strconv.FormatInt(int64(p.wait/time.Second), 10))
	}
	if len(applied) > 0 {
		h.Set("Preference-Applied", strings.Join(applied, ", "))
	}
}
