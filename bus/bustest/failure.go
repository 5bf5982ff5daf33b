package bustest

import (
	"fmt"
	"strings"
)

// Failure is a schedule under which an application goes wrong.
type Failure struct {
	Why       string   // what is wrong at the end
	Published []string // from outside, in order
	Steps     []string // what happens: the story of the shortest schedule found
	Tree      string   // what caused what in it
	Seed      uint64
	Schedule  int // the first that failed, from 0
}

// Error tells the story, and how to find it again.
func (f *Failure) Error() string {
	var sb strings.Builder
	sb.WriteString(f.Why)
	for _, p := range f.Published {
		sb.WriteString("\n  published " + p)
	}
	for i, step := range f.Steps {
		fmt.Fprintf(&sb, "\n  %d. %s", i+1, step)
	}
	fmt.Fprintf(&sb, "\nagain: bustest.Seed(%d), bustest.Only(%d)", f.Seed, f.Schedule)
	return sb.String()
}
