package bustest_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

type (
	Signup  struct{ User string }
	Welcome struct{ User string }
)

func welcomes(w *bustest.World, tell func(ctx context.Context, b *bus.Bus, u string) error) {
	mails, sent := map[string]int{}, map[string]bool{}
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
			bustest.Step(ctx, "begin")
			return tell(ctx, b, s.User)
		})
		bus.Subscribe(b, "mailer", func(ctx context.Context, m Welcome) error {
			if !sent[idOf(ctx)] { // that is done right
				mails[m.User]++
				sent[idOf(ctx)] = true
			}
			return nil
		})
	})
	w.Publish(Signup{"ada"})
	w.State(func() any { return mails })
}

// A publish with another context than the handler's goes out at once, under a new id in
// each attempt: nobody can tell that it is the same.
func publishOutside(w *bustest.World) {
	welcomes(w, func(_ context.Context, b *bus.Bus, user string) error {
		return b.Publish(context.Background(), Welcome{user})
	})
}

func Example_publishOutsideTheHandlersContext() {
	t := new(testing.T) // that of the test
	fmt.Println(bustest.Search(t, publishOutside).Failure)
	// Output:
	// the final state differs from that of the undisturbed run:
	//   map[ada:2]
	//   undisturbed: map[ada:1]
	//   published message-1: bustest_test.Signup{User:ada}
	//   1. 0s process 1: group "accounts" handles signup message-1, attempt 1: returns nil
	//   2. 0s process 1: group "mailer" handles welcome #1, attempt 1: returns nil
	//   3. 0s signup message-1 is delivered to group "accounts" once more
	//   4. 0s process 1: group "accounts" handles signup message-1, attempt 2: returns nil
	//   5. 0s process 1: group "mailer" handles welcome #2, attempt 1: returns nil
	// again: bustest.Seed(1), bustest.Only(0)
	// this alone: bustest.Replay("end=repeat/0/0/signup:message-1")
}

// With the handler's context each attempt publishes the same id.
func publishInside(w *bustest.World) {
	welcomes(w, func(ctx context.Context, b *bus.Bus, user string) error {
		return b.Publish(ctx, Welcome{user})
	})
}

func TestPublishUnderTheHandlersContext(t *testing.T) {
	bustest.Explore(t, publishInside, bustest.Schedules(schedules()), bustest.Parallel(runtime.GOMAXPROCS(0)))
}
