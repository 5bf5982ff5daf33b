package bustest

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/leat-go/leat/bus"
)

// Trace returns the history of each event, sorted by its identity, line by line:
// when it was published, when which handler attempted it and how that ended, how and
// when it was settled, in time since the start of the test.
//
// In virtual time it is the same again for the same test with the same seed of
// [Faults], on any number of workers, as long as the test leaves no order open: events
// of a key are published one after the other, handlers take no time that depends on
// others, and the window of a group isn't full. What is not promised is left out:
// positions, and the order of what happens in the same instant.
func (b *Bus) Trace() string {
	r := b.recorder
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := slices.Clone(r.trace)
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// TraceHash is a hash of [Bus.Trace]: two runs with the same one went the same way.
func (b *Bus) TraceHash() string {
	sum := sha256.Sum256([]byte(b.Trace()))
	return hex.EncodeToString(sum[:8])
}

// notef adds a line to the trace of an event. The recorder is locked.
func (r *recorder) notef(id string, at time.Time, format string, args ...any) {
	line := fmt.Sprintf("%s %15d %s", id, at.Sub(r.began), fmt.Sprintf(format, args...))
	r.trace = append(r.trace, line)
}

func orNil(err error) string {
	if err == nil {
		return ""
	}
	return ": " + err.Error()
}

// OnSettle remembers a settlement.
func (r *recorder) OnSettle(s bus.Settled) {
	if !r.tracing {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notef(identity(s.Event), time.Now(), "settled by %s on %s: %v%s", s.Group, s.Topic, s.Kind, orNil(s.Err))
}
