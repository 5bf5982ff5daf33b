package bustest

import (
	"strconv"
	"sync"

	"github.com/leat-go/leat/event"
)

// ids names the messages that the test publishes by what they are and how often they
// were published before: a run in virtual time has the same ids again, whichever
// goroutine comes first. What handlers publish has ids derived from these.
type ids struct {
	mu    sync.Mutex
	times map[string]int
}

// next returns the id of a message.
func (s *ids) next(e event.Event) string {
	content := event.DerivedID(e.Type()+" "+e.Key(), e.Subject()+" "+e.NotBefore().String(), string(e.Data()), 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.times == nil {
		s.times = make(map[string]int)
	}
	s.times[content]++
	return event.DerivedID("bustest", content, strconv.Itoa(s.times[content]), 0)
}
