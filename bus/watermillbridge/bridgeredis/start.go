package bridgeredis

import (
	"fmt"
	"math"

	"github.com/leat-go/leat/event"
)

// startID returns the id behind which a group begins. Entries have the server's time,
// in milliseconds, and a number within one as their id.
func startID(from event.Start) string {
	switch from.Kind {
	case event.StartNewest:
		return "$"
	case event.StartSince:
		if ms := from.Time.UnixMilli(); ms > 0 {
			return fmt.Sprintf("%d-%d", ms-1, uint64(math.MaxUint64))
		}
	case event.StartDefault, event.StartOldest:
	}
	return "0"
}
