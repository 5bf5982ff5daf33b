package channeltest

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// storyLines is how much of a story is kept: its end.
const storyLines = 80

// story is what happened in a case, line by line, for people.
type story struct {
	start time.Time

	mu    sync.Mutex
	lines [storyLines]string
	n     int
}

func (s *story) addf(format string, args ...any) {
	line := fmt.Sprintf("%12v  %s", time.Since(s.start).Round(time.Microsecond), fmt.Sprintf(format, args...))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lines[s.n%storyLines] = line
	s.n++
}

// String returns the lines in order.
func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	from := max(s.n-storyLines, 0)
	if from > 0 {
		fmt.Fprintf(&b, "\t(%d lines before)\n", from)
	}
	for i := from; i < s.n; i++ {
		fmt.Fprintf(&b, "\t%s\n", s.lines[i%storyLines])
	}
	return b.String()
}
