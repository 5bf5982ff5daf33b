package bus_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// answers lets a handler give one answer after the other, the last one for ever.
type answers struct {
	give []error
	at   []time.Duration // of each run, since the first
	info []event.Info
	from time.Time
}

func (a *answers) handle(ctx context.Context, _ OrderPlaced) error {
	info, _ := event.FromContext(ctx)
	if len(a.at) == 0 {
		a.from = time.Now()
	}
	a.at = append(a.at, time.Since(a.from))
	a.info = append(a.info, info)
	i := min(len(a.at), len(a.give)) - 1
	if i < 0 {
		return nil
	}
	if p := (panicking{}); errors.As(a.give[i], &p) {
		panic(p.value)
	}
	return a.give[i]
}

// panicking stands for a panic.
type panicking struct{ value any }

func (panicking) Error() string { return "panics" }

var errSold = event.NewError("sold_out", "nothing left")

// What each answer makes of the event.
func TestVerdicts(t *testing.T) {
	three := bus.Retry(bus.Backoff{First: time.Second, Attempts: 3})
	cases := map[string]struct {
		give     []error
		opts     []bus.SubscribeOption
		runs     int
		kinds    string // of the settlements
		outcomes string // of the attempts
		code     string // of the cause of death
		text     string
		failures int
	}{
		"nil":                    {give: nil, runs: 1, kinds: "ack", outcomes: "acked"},
		"error, then nil":        {give: []error{errBoom, nil}, runs: 2, kinds: "ack", outcomes: "retried acked"},
		"error":                  {give: []error{errBoom}, runs: 10, kinds: "dead", outcomes: strings.Repeat("retried ", 9) + "dead", code: "handler", text: "boom", failures: 10},
		"few attempts":           {give: []error{errBoom}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "handler", text: "boom", failures: 3},
		"one attempt":            {give: []error{errBoom}, opts: []bus.SubscribeOption{bus.Retry(bus.Backoff{Attempts: 1})}, runs: 1, kinds: "dead", outcomes: "dead", code: "handler", text: "boom", failures: 1},
		"permanent":              {give: []error{event.Permanent(errBoom)}, runs: 1, kinds: "dead", outcomes: "dead", code: "permanent", text: "permanent: boom", failures: 1},
		"permanent, wrapped":     {give: []error{fmt.Errorf("so: %w", event.Permanent(errBoom))}, runs: 1, kinds: "dead", outcomes: "dead", code: "permanent", text: "so: permanent: boom", failures: 1},
		"permanent with a code":  {give: []error{event.Permanent(errSold)}, runs: 1, kinds: "dead", outcomes: "dead", code: "sold_out", text: "permanent: nothing left (sold_out)", failures: 1},
		"error with a code":      {give: []error{errSold}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "sold_out", text: "nothing left (sold_out)", failures: 3},
		"permanent after errors": {give: []error{errBoom, errBoom, event.Permanent(errBoom)}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "permanent", text: "permanent: boom", failures: 3},
		"retry after counts":     {give: []error{event.RetryAfter(time.Hour, errBoom)}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "handler", text: "retry after 1h0m0s: boom", failures: 3},
		"postpone doesn't count": {give: append(many(event.Postpone(time.Hour, errBoom), 20), nil), opts: []bus.SubscribeOption{three}, runs: 21, kinds: "ack", outcomes: strings.Repeat("retried ", 20) + "acked"},
		"full, but for good":     {give: []error{event.Permanent(fmt.Errorf("publish: %w", event.ErrFull))}, runs: 1, kinds: "dead", outcomes: "dead", code: "permanent", text: "permanent: publish: " + event.ErrFull.Error(), failures: 1},
		"full, but later":        {give: []error{event.Postpone(time.Hour, fmt.Errorf("publish: %w", event.ErrFull)), nil}, runs: 2, kinds: "ack", outcomes: "retried acked"},
		"full doesn't count":     {give: append(many(fmt.Errorf("publish: %w", event.ErrFull), 20), nil), opts: []bus.SubscribeOption{three}, runs: 21, kinds: "ack", outcomes: strings.Repeat("retried ", 20) + "acked"},
		"reject":                 {give: []error{event.Reject(errBoom)}, runs: 1, kinds: "ack", outcomes: "rejected"},
		"reject with a code":     {give: []error{event.Reject(errSold)}, runs: 1, kinds: "ack", outcomes: "rejected"},
		"panic":                  {give: []error{panicking{"at the disco"}}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "panic", text: "panic: at the disco", failures: 3},
		"panic with an error":    {give: []error{panicking{errBoom}}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "panic", text: "panic: boom", failures: 3},
		"panic with a value":     {give: []error{panicking{OrderPlaced{}}}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "panic", text: "panic: a value of type bus_test.OrderPlaced", failures: 3},
		"panic with a verdict":   {give: []error{panicking{event.Permanent(errBoom)}}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "panic", text: "panic: permanent: boom", failures: 3},
		"panic with an answer":   {give: []error{panicking{event.Reject(errSold)}}, opts: []bus.SubscribeOption{three}, runs: 3, kinds: "dead", outcomes: "retried retried dead", code: "panic", text: "panic: rejected: nothing left (sold_out)", failures: 3},
		"panic, later":           {give: []error{panicking{event.Postpone(time.Hour, errBoom)}, nil}, runs: 2, kinds: "ack", outcomes: "retried acked"},
		"panic, then nil":        {give: []error{panicking{1}, nil}, runs: 2, kinds: "ack", outcomes: "retried acked"},
		"decode error":           {give: []error{&bus.DecodeError{Type: "order-placed"}}, runs: 1, kinds: "dead", outcomes: "dead", code: "decode", text: "bus: data of order-placed", failures: 1},
		"retry of decode error":  {give: []error{event.RetryAfter(1, &bus.DecodeError{Type: "order-placed"})}, runs: 1, kinds: "dead", outcomes: "dead", code: "decode", text: "retry after", failures: 1},
		"block key":              {give: append(many(errBoom, 50), nil), opts: []bus.SubscribeOption{bus.BlockKey()}, runs: 51, kinds: "ack", outcomes: strings.Repeat("retried ", 50) + "acked"},
		"block key, permanent":   {give: []error{errBoom, event.Permanent(errBoom)}, opts: []bus.SubscribeOption{bus.BlockKey()}, runs: 2, kinds: "dead", outcomes: "retried dead", code: "permanent", text: "permanent: boom", failures: 2},
		"block key, undecodable": {give: []error{&bus.DecodeError{}}, opts: []bus.SubscribeOption{bus.BlockKey()}, runs: 1, kinds: "dead", outcomes: "dead", code: "decode", text: "bus: data", failures: 1},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var w witness
			a := answers{give: c.give}
			inBubble(t, bus.Config{App: "shop", Hooks: []any{&w}}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", a.handle, c.opts...)
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, OrderPlaced{})
				quiet(t, ch)
				if len(a.at) != c.runs {
					t.Errorf("%d runs, want %d", len(a.at), c.runs)
				}
				if got := w.kinds(); got != c.kinds {
					t.Errorf("settled %q, want %q", got, c.kinds)
				}
				var outcomes []string
				for i, end := range w.attempts {
					outcomes = append(outcomes, end.Outcome.String())
					if end.Info.Attempt != i+1 {
						t.Errorf("attempt %d is called %d", i+1, end.Info.Attempt)
					}
				}
				if got := strings.Join(outcomes, " "); got != c.outcomes {
					t.Errorf("outcomes %q, want %q", got, c.outcomes)
				}
				requireDeath(t, letters(t, b, "g"), c.code, c.text, c.runs, c.failures, a.from)
			})
		})
	}
}

func many(err error, n int) []error {
	all := make([]error, n)
	for i := range all {
		all[i] = err
	}
	return all
}

func requireDeath(t *testing.T, dead []event.DeadLetter, code, text string, attempts, failures int, first time.Time) {
	t.Helper()
	if code == "" {
		if len(dead) > 0 {
			t.Errorf("dead letter because of %+v", dead[0].Cause)
		}
		return
	}
	if len(dead) != 1 {
		t.Fatalf("%d dead letters", len(dead))
	}
	d := dead[0]
	c := d.Cause
	if c.Code != code || !strings.HasPrefix(c.Text, text) || c.Handler != "g/order-placed" || c.Attempts != attempts || c.Failures != failures {
		t.Errorf("cause %+v", c)
	}
	if !c.FirstFailedAt.Equal(first) {
		t.Errorf("first failed at %v, want %v", c.FirstFailedAt, first)
	}
	if hasStack := strings.Contains(c.Stack, "verdict_test.go"); hasStack != (code == "panic") {
		t.Errorf("stack %q", c.Stack)
	}
	if d.Group != "shop.g" || d.Topic != "order-placed" || d.Event.Type() != "order-placed" || string(d.Event.Data()) != "{}" {
		t.Errorf("dead letter %+v", d)
	}
}

// The n-th wait is random, up to First·2ⁿ⁻¹, at most Max.
func TestBackoff(t *testing.T) {
	const rounds = 200
	limits := []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second}
	var longest, shortest [5]time.Duration
	for range rounds {
		a := answers{give: append(many(errBoom, len(limits)), nil)}
		inBubble(t, bus.Config{}, func(b *bus.Bus) {
			bus.Subscribe(b, "g", a.handle, bus.Retry(bus.Backoff{First: 2 * time.Second, Max: 10 * time.Second}))
		}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
			publish(t, b, OrderPlaced{})
			quiet(t, ch)
		})
		for i, limit := range limits {
			wait := a.at[i+1] - a.at[i]
			if wait <= 0 || wait > limit {
				t.Fatalf("wait %d is %v, at most %v is allowed", i+1, wait, limit)
			}
			longest[i] = max(longest[i], wait)
			if shortest[i] == 0 || wait < shortest[i] {
				shortest[i] = wait
			}
		}
	}
	for i, limit := range limits { // that none of 200 comes near happens once in 10⁹ times
		if longest[i] < limit*9/10 || shortest[i] > limit/10 {
			t.Errorf("wait %d was between %v and %v, want all up to %v", i+1, shortest[i], longest[i], limit)
		}
	}
}

func TestDefaultBackoff(t *testing.T) {
	for range 20 {
		a := answers{give: []error{errBoom}}
		inBubble(t, bus.Config{}, func(b *bus.Bus) {
			bus.Subscribe(b, "g", a.handle, bus.Retry(bus.Backoff{Attempts: 20}))
		}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
			publish(t, b, OrderPlaced{})
			quiet(t, ch)
			for i := 1; i < len(a.at); i++ {
				if wait, limit := a.at[i]-a.at[i-1], min(time.Second<<(i-1), 5*time.Minute); wait > limit {
					t.Fatalf("wait %d is %v, at most %v is allowed", i, wait, limit)
				}
			}
		})
	}
}

// Backoffs at the limits of what can be said: after many failures they neither
// panic nor wait longer than they say.
func TestExtremeBackoffs(t *testing.T) {
	const long = 1<<62 + 1 // 146 years; twice that can't be said, and the virtual clock ends in 2262
	for name, r := range map[string]bus.Backoff{
		"no longest":  {First: 1, Max: long, Attempts: 1000},
		"small max":   {Max: time.Millisecond, Attempts: 1000},
		"one":         {First: 1, Max: 1, Attempts: 1000},
		"first above": {First: time.Hour, Attempts: 1000},
	} {
		for failures := range 80 {
			a := answers{give: append(many(event.RetryAfter(0, errBoom), failures), errBoom, nil)}
			inBubble(t, bus.Config{}, func(b *bus.Bus) {
				bus.Subscribe(b, "g", a.handle, bus.Retry(r))
			}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
				publish(t, b, OrderPlaced{})
				quiet(t, ch)
				if wait := a.at[failures+1] - a.at[failures]; wait <= 0 || r.Max != 0 && wait > r.Max {
					t.Errorf("%s: wait of %v after %d failures", name, wait, failures+1)
				}
			})
		}
	}
}

func TestRetryAfterAndPostponeSayWhen(t *testing.T) {
	for name, err := range map[string]error{
		"retry after": event.RetryAfter(time.Hour, errBoom),
		"postpone":    event.Postpone(time.Hour, errBoom),
	} {
		a := answers{give: []error{err, err, nil}}
		inBubble(t, bus.Config{}, func(b *bus.Bus) {
			bus.Subscribe(b, "g", a.handle)
		}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
			publish(t, b, OrderPlaced{})
			quiet(t, ch)
			if fmt.Sprint(a.at) != "[0s 1h0m0s 2h0m0s]" {
				t.Errorf("%s: runs at %v", name, a.at)
			}
			if last := a.info[2]; last.Failures != map[string]int{"retry after": 2, "postpone": 0}[name] || last.Attempt != 3 {
				t.Errorf("%s: third run %+v", name, last)
			}
		})
	}
}

// The handler's context ends after the Timeout, for each attempt anew; that is a
// failure like others.
func TestTimeout(t *testing.T) {
	var took []time.Duration
	inBubble(t, bus.Config{}, func(b *bus.Bus) {
		bus.Subscribe(b, "g", func(ctx context.Context, _ OrderPlaced) error {
			began := time.Now()
			<-ctx.Done()
			took = append(took, time.Since(began))
			return context.Cause(ctx)
		}, bus.Timeout(3*time.Second), bus.Retry(bus.Backoff{Attempts: 2}))
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if fmt.Sprint(took) != "[3s 3s]" {
			t.Errorf("the contexts ended after %v", took)
		}
		c := letter(t, b, "g").Cause
		if c.Code != "handler" || c.Text != context.DeadlineExceeded.Error() || c.Failures != 2 {
			t.Errorf("cause %+v", c)
		}
	})
}

// A panic reaches middlewares as an error with the stack of the handler; one of a
// middleware is an error too.
func TestPanics(t *testing.T) {
	var seen *bus.PanicError
	see := event.MiddlewareFunc(func(next event.Handler) event.Handler {
		return func(ctx context.Context, e event.Event) error {
			err := next(ctx, e)
			errors.As(err, &seen)
			return err
		}
	})
	shaky := event.MiddlewareFunc(func(event.Handler) event.Handler {
		return func(context.Context, event.Event) error { return panicsInMiddleware() }
	})
	inBubble(t, bus.Config{Middleware: []event.Middleware{see}}, func(b *bus.Bus) {
		once := bus.Retry(bus.Backoff{Attempts: 1})
		bus.Subscribe(b, "handler", func(context.Context, OrderPlaced) error { panic(errBoom) }, once)
		bus.Subscribe(b, "middleware", handle[OrderPlaced], bus.With(shaky), once)
	}, func(t *testing.T, b *bus.Bus, ch *memory.Channel) {
		publish(t, b, OrderPlaced{})
		quiet(t, ch)
		if seen == nil || seen.Value == nil || !strings.Contains(string(seen.Stack), "TestPanics") || seen.Value != any(errBoom) || errors.Is(seen, errBoom) {
			t.Errorf("the middleware saw %v", seen)
		}
		if c := letter(t, b, "handler").Cause; c.Code != "panic" || !strings.Contains(c.Stack, "TestPanics") {
			t.Errorf("cause %+v", c)
		}
		if c := letter(t, b, "middleware").Cause; c.Code != "panic" || c.Text != "panic: shaky" || !strings.Contains(c.Stack, "panicsInMiddleware") {
			t.Errorf("cause %+v", c)
		}
	})
}

func panicsInMiddleware() error { panic("shaky") }
