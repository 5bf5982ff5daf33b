package bustest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

type placed struct{ N int }

type mailed struct{ N int }

var errBusy = errors.New("busy")

// failing is a test that fails without failing the one that looks at it.
type failing struct {
	testing.TB

	said string
}

func (f *failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// said returns what f fails its test with; "" when it doesn't fail.
func said(t *testing.T, b *Bus, f func()) string {
	t.Helper()
	tb := &failing{TB: t}
	was := b.t
	b.t = tb
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
	b.t = was
	return tb.said
}

// mails publishes a mail for each order, and orders without a number fail.
func mails(b *Bus) {
	bus.Subscribe(b.Bus, "mailer", func(ctx context.Context, p placed) error {
		if p.N == 0 {
			return event.Permanent(errBusy)
		}
		return b.Bus.Publish(ctx, mailed(p))
	})
}

func TestWant(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		mails(b)
		for _, n := range []int{1, 2, 2, 0} {
			b.Publish(placed{n})
		}
		b.Settle()
		two := "published bustest.mailed:\n  {N:1}\n  {N:2}\n  {N:2}\nwhat happened:\n  0s placed ("
		for name, c := range map[string]struct {
			f    func()
			want string
		}{
			"all":             {func() { Want(b, mailed{1}, mailed{2}, mailed{2}) }, ""},
			"in any order":    {func() { Want(b, mailed{2}, mailed{1}) }, ""},
			"nothing":         {func() { Want[mailed](b) }, ""},
			"another":         {func() { Want(b, mailed{1}, mailed{3}) }, "bustest: want bustest.mailed{N:3} to be published\n" + two},
			"too often":       {func() { Want(b, mailed{2}, mailed{2}, mailed{1}, mailed{2}) }, "bustest: want bustest.mailed{N:2} to be published 3 times, not 2\n" + two},
			"none":            {func() { WantNone[errorless](b) }, ""},
			"none, and some":  {func() { WantNone[mailed](b) }, "bustest: want no bustest.mailed\n" + two},
			"none at all":     {func() { Want(b, errorless{}) }, "bustest: want bustest.errorless{} to be published\nno bustest.errorless was published\nwhat happened:"},
			"no message":      {func() { Want(b, 3) }, "bustest: bus: type int has no name of its own"},
			"no group":        {func() { b.DeadLetters("nobody") }, `bustest: bus: no group "nobody"`},
			"refused publish": {func() { b.Publish(3) }, "bustest: bus: type int has no name of its own"},
		} {
			got := said(t, b, c.f)
			if c.want == "" && got != "" || !strings.HasPrefix(got, c.want) {
				t.Errorf("%s: failed with %q, want %q", name, got, c.want)
			}
		}
		if got := Published[mailed](b); fmt.Sprint(got) != "[{1} {2} {2}]" {
			t.Errorf("published %v", got)
		}
		dead := b.DeadLetters("mailer")
		if len(dead) != 1 || dead[0].Cause.Code != "permanent" {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

type errorless struct{}

// A value that can't be encoded is refused in a test as it would be by a broker.
func TestEventsMakeTheRoundTrip(t *testing.T) {
	type bad struct{ C chan int }
	Run(t, func(t *testing.T, b *Bus) {
		if got := said(t, b, func() { b.Publish(bad{}) }); !strings.Contains(got, "unsupported type: chan int") {
			t.Errorf("failed with %q", got)
		}
		raw := event.Attributes{Source: "/s", Type: "raw", ContentType: "application/json", Data: []byte("no JSON")}.Event()
		if got := said(t, b, func() { b.Publish(raw) }); got != "" {
			t.Errorf("data is opaque, but: %s", got)
		}
	})
}

func TestSettleTellsWhatIsLeft(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		bus.Subscribe(b.Bus, "mailer", func(context.Context, placed) error { return event.RetryAfter(7*time.Hour, errBusy) }, bus.BlockKey())
		b.Publish(placed{1})
		began := time.Now()
		got := said(t, b, b.Settle)
		if !strings.HasPrefix(got, "bustest: still not settled after 720h0m0s\nwhat happened:\n  0s placed (") || time.Since(began) != 30*24*time.Hour {
			t.Errorf("failed with %q after %v", got, time.Since(began))
		}
		if n := strings.Count(got, "attempt "); n != maxAttempts {
			t.Errorf("the story tells of %d attempts:\n%s", n, got)
		}
		for _, line := range []string{"0s mailer/placed attempt 1: ", "28h0m0s mailer/placed attempt 5: ", "… 93 more attempts", "714h0m0s mailer/placed attempt 103: "} {
			if !strings.Contains(got, line) {
				t.Errorf("the story has no %q:\n%s", line, got)
			}
		}
	})
}

func TestSettleAfterTheEnd(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		mails(b)
		b.Publish(placed{1})
		if err := b.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := said(t, b, b.Settle); !strings.HasPrefix(got, "bustest: Settle: event: closed\nwhat happened:") {
			t.Errorf("failed with %q", got)
		}
		Want(b, mailed{1})
	})
}

// An application that starts its Bus itself can be tested as it is.
func TestStartByTheApplication(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		mails(b)
		if err := b.Bus.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Start()
		b.Publish(placed{1})
		b.Settle()
		Want(b, mailed{1})
	})
}

func TestStartThatFails(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		bus.Subscribe(b.Bus, "bad group", func(context.Context, placed) error { return nil })
		if got := said(t, b, b.Settle); !strings.HasPrefix(got, "bustest: bus: start: ") || !strings.Contains(got, `"bad group"`) {
			t.Errorf("failed with %q", got)
		}
	})
}

// What a handler does is waited for to its end, also what it does after the settlement.
func TestSettleWaitsForWhatFollows(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		after := false
		bus.Subscribe(b.Bus, "g", func(ctx context.Context, p placed) error {
			return event.OnOutcome(ctx, nil, func(ctx context.Context, _ event.Outcome) {
				time.Sleep(time.Minute) // virtual
				after = b.Bus.Publish(ctx, mailed(p), bus.Now()) == nil
			})
		})
		b.Publish(placed{1})
		b.Settle()
		Want(b, mailed{1})
		if !after {
			t.Error("the function after the settlement didn't run, or could not publish")
		}
	})
}

func TestRealTime(t *testing.T) {
	bubble := time.Now().Year() == 2000
	Run(t, func(t *testing.T, b *Bus) {
		mails(b)
		b.Publish(placed{1})
		b.Settle()
		Want(b, mailed{1})
		if time.Now().Year() == 2000 != bubble {
			t.Error("the test runs in virtual time")
		}
	}, RealTime())
}

// The application's configuration is its own, but for the channel.
func TestConfig(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		mails(b)
		b.Publish(placed{1})
		b.Settle()
		for _, p := range b.recorder.published() {
			if p.event.Source() != "/shop" {
				t.Errorf("source %q", p.event.Source())
			}
		}
	}, Config(func(c *bus.Config) { c.App = "shop" }))
}

// What runs on after its settlement for ever is told, as soon as the time is over.
func TestSettleWhatRunsOn(t *testing.T) {
	Run(t, func(t *testing.T, b *Bus) {
		end := make(chan struct{})
		defer close(end)
		bus.Subscribe(b.Bus, "g", func(ctx context.Context, _ placed) error {
			return event.OnOutcome(ctx, nil, func(context.Context, event.Outcome) { <-end })
		})
		b.Publish(placed{1})
		if got := said(t, b, b.Settle); !strings.HasPrefix(got, "bustest: still not settled after 720h0m0s: something runs on after its settlement\nwhat happened:") {
			t.Errorf("failed with %q", got)
		}
	})
}
