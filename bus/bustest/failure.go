package bustest

import (
	"fmt"
	"slices"
	"strings"
)

// Failure is a schedule under which an application goes wrong.
type Failure struct {
	Why       string   // what is wrong at the end
	Published []string // from outside, in order
	Steps     []string // what happens: the story of the shortest schedule found
	Tree      string   // what caused what in it
	Replay    string   // that schedule, for [Replay]
	Seed      uint64   // of the search, see [Seed]; 0 in a Replay
	Schedule  int      // the first that failed, from 0; -1 in a Replay
}

// String tells the story, and how to run it again.
func (f *Failure) String() string {
	var sb strings.Builder
	sb.WriteString(f.Why)
	for _, p := range f.Published {
		sb.WriteString("\n  published " + p)
	}
	for i, step := range f.Steps {
		fmt.Fprintf(&sb, "\n  %d. %s", i+1, step)
	}
	if f.Schedule >= 0 {
		fmt.Fprintf(&sb, "\nagain: bustest.Seed(%d), bustest.Only(%d)", f.Seed, f.Schedule)
	}
	fmt.Fprintf(&sb, "\nthis alone: bustest.Replay(%q)", f.Replay)
	return sb.String()
}

// longest is how many lines are told of a tree.
const longest = 60

// shorten leaves out the middle of a long text.
func shorten(text string) string {
	lines := strings.Split(text, "\n")
	if len(lines) <= longest {
		return text
	}
	left := fmt.Sprintf("  … %d lines …", len(lines)-longest)
	return strings.Join(slices.Concat(lines[:longest/2], []string{left}, lines[len(lines)-longest/2:]), "\n")
}
