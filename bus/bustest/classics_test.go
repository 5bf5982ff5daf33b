package bustest_test

import (
	"context"
	"testing"

	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// The classics_*_test.go show the classic bugs of handlers: each with the story in
// which Explore tells it, and the handler that has it no more.

// idOf returns the id of the event that is being handled: the same in each attempt.
func idOf(ctx context.Context) string {
	info, _ := event.FromContext(ctx)
	return info.Event.ID()
}

// schedules is how many a handler without a bug has to pass.
func schedules() int {
	if raceEnabled || testing.Short() {
		return 10_000
	}
	return 100_000
}

// finds fails the test unless Explore finds the bug and tells this story.
func finds(t *testing.T, buggy func(w *bustest.World), story string) {
	t.Helper()
	f := bustest.Search(t, buggy).Failure
	if f == nil {
		t.Fatal("the bug was not found")
	}
	if got := "\n" + f.String() + "\n"; got != story {
		t.Errorf("got:%s\nwant:%s", got, story)
	}
	if len(f.Steps) > 5 {
		t.Errorf("the story has %d steps", len(f.Steps))
	}
}
