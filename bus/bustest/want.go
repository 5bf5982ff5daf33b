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

// Want fails the test unless each of the messages was published, as often as it
// stands in the list. The failure prints what was published instead, and the tree
// of what caused what.
func Want[T any](b *Bus, want ...T) {
	b.t.Helper()
	got := Published[T](b)
	left := append([]T(nil), got...)
	for _, w := range want {
		i := indexOf(left, w)
		if i < 0 {
			b.t.Fatalf("bustest: want %T%+v to be published\n%s\n%s", w, w, describe(got), b.Story())
		}
		left = append(left[:i], left[i+1:]...)
	}
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
