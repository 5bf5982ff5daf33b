package request

import (
	"time"

	"github.com/leat-go/leat/event"
)

// moment is a time, and how it is written. Requests that come together have the same, or nearly
// so, and to write and to read it for each costs more than to look whether it is the last one.
type moment struct {
	at   time.Time
	text string
}

func written(at time.Time) string { return at.UTC().Format(time.RFC3339Nano) }

// near is how much earlier than others somebody may stop waiting who doesn't say how long.
const near = time.Millisecond

// defaultBy returns until when somebody waits who doesn't say how long.
func (r *Requests) defaultBy() (time.Time, string) {
	by := time.Now().Add(defaultWait)
	if m := r.lastDefault.Load(); m != nil {
		if early := by.Sub(m.at); early >= 0 && early < near {
			return m.at, m.text
		}
	}
	m := &moment{by, written(by)}
	r.lastDefault.Store(m)
	return m.at, m.text
}

// readBy reads until when somebody waits for the answer to a request.
func (r *Requests) readBy(request event.Event) (by time.Time, ok bool) {
	text := request.Extension(event.ExtReplyBy)
	if m := r.lastBy.Load(); m != nil && m.text == text {
		return m.at, true
	}
	by, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, false
	}
	r.lastBy.Store(&moment{by, text})
	return by, true
}

// readTo reads where the answer to a request goes.
func (r *Requests) readTo(request event.Event) (to Address, ok bool) {
	text := request.Extension(event.ExtReplyTo)
	if text == "" {
		return Address{}, false
	}
	if a := r.lastTo.Load(); a != nil && a.isWritten(text) {
		return *a, true
	}
	to, err := ParseAddress(text)
	if err != nil {
		return Address{}, false
	}
	r.lastTo.Store(&to)
	return to, true
}
