package bustest

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/leat-go/leat/bus"
)

// Published returns all messages of type T that were published so far, by handlers
// too, in their order.
func Published[T any](b *Bus) []T {
	b.t.Helper()
	typ, err := bus.TypeOf[T](b.Bus)
	if err != nil {
		b.t.Fatalf("bustest: %v", err)
	}
	var all []T
	for _, p := range b.recorder.published() {
		if p.event.Type() != typ {
			continue
		}
		v, err := bus.Decode[T](b.Bus, p.event)
		if err != nil {
			b.t.Fatalf("bustest: %v", err)
		}
		all = append(all, v)
	}
	return all
}

// Want fails the test unless each of the messages was published, at least as often as
// it stands in the list. The failure prints what was published instead, and the tree
// of what caused what.
func Want[T any](b *Bus, want ...T) {
	b.t.Helper()
	got := Published[T](b)
	for i, w := range want {
		n, have := count(want, w), count(got, w)
		if have < n && indexOf(want, w) == i {
			b.t.Fatalf("bustest: want %T%+v to be published%s\n%s\n%s", w, w, times(n, have), describe(got), b.Story())
		}
	}
}

// times says how often something is wanted and was there, where that is not plain.
func times(want, have int) string {
	if want == 1 {
		return ""
	}
	return fmt.Sprintf(" %d times, not %d", want, have)
}

func count[T any](list []T, v T) int {
	n := 0
	for _, x := range list {
		if reflect.DeepEqual(x, v) {
			n++
		}
	}
	return n
}

// WantNone fails the test when a message of type T was published.
func WantNone[T any](b *Bus) {
	b.t.Helper()
	if got := Published[T](b); len(got) > 0 {
		b.t.Fatalf("bustest: want no %T\n%s\n%s", *new(T), describe(got), b.Story())
	}
}

func indexOf[T any](list []T, v T) int {
	for i, x := range list {
		if reflect.DeepEqual(x, v) {
			return i
		}
	}
	return -1
}

func describe[T any](got []T) string {
	if len(got) == 0 {
		return fmt.Sprintf("no %T was published", *new(T))
	}
	var sb strings.Builder
	fmt.Fprintf(&sb, "published %T:", *new(T))
	for _, v := range got {
		fmt.Fprintf(&sb, "\n  %+v", v)
	}
	return sb.String()
}
