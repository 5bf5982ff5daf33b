package bus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type Row struct {
	K string
	N int
}

func (r Row) EventKey() string { return r.K }

// batches remembers what a batch handler got.
type batches struct {
	mu  sync.Mutex
	got [][]Row
}

func (b *batches) add(rows []Row) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, slices.Clone(rows))
	return len(b.got)
}

func (b *batches) sizes() string {
	var s []int
	for _, rows := range b.got {
		s = append(s, len(rows))
	}
	return fmt.Sprint(s)
}

func TestBatchIsFullOrItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		var at []time.Duration
		began := time.Now()
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			seen.add(rows)
			at = append(at, time.Since(began))
			return nil
		}, bus.Batch(10, time.Second))
		start(t, b)
		for n := range 25 {
			publish(t, b, Row{"", n})
		}
		synctest.Wait()
		if got := seen.sizes(); got != "[10 10]" {
			t.Errorf("at once, batches of %s, want the full ones", got)
		}
		quiet(t, ch)
		if got := seen.sizes(); got != "[10 10 5]" || at[2] != time.Second {
			t.Errorf("batches of %s at %v, want the rest after a second", got, at)
		}
		n := 0
		for _, rows := range seen.got {
			for _, r := range rows {
				if r.N != n {
					t.Fatalf("got %v, want them in order", seen.got)
				}
				n++
			}
		}
	})
}

func TestBatchWithoutWaitingTakesWhatIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
			seen.add(rows)
			time.Sleep(time.Second) // virtual
			return nil
		}, bus.Batch(100, 0))
		start(t, b)
		publish(t, b, Row{"", 0})
		synctest.Wait()
		for n := range 30 {
			publish(t, b, Row{"", n + 1})
		}
		drain(t, b)
		if got := seen.sizes(); got != "[1 30]" {
			t.Errorf("batches of %s, want the first at once and then what has come", got)
		}
	})
}

// The third of a batch fails: later ones of its key come again behind it, the others
// are done.
func TestBatchErrorFailsTheNamedAndHoldsUpTheirKeys(t *testing.T) {
	for _, unordered := range []bool{false, true} {
		t.Run(fmt.Sprint("unordered=", unordered), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen batches
				opts := []bus.SubscribeOption{bus.Batch(6, time.Second), bus.Retry(bus.Backoff{First: time.Minute, Max: time.Minute})}
				if unordered {
					opts = append(opts, bus.Unordered())
				}
				b := bus.New(bus.Config{Channel: memory.New()})
				bus.SubscribeBatch(b, "g", func(_ context.Context, rows []Row) error {
					if seen.add(rows) == 1 {
						return fmt.Errorf("wrapped: %w", bus.BatchError{2: errBoom})
					}
					return nil
				}, opts...)
				start(t, b)
				for _, r := range []Row{{"a", 1}, {"b", 1}, {"a", 2}, {"a", 3}, {"b", 2}, {"", 9}} {
					publish(t, b, r)
				}
				drain(t, b)
				want := "[[{a 1} {a 2} {a 3} {b 1} {b 2} { 9}] [{a 3}]]"
				if unordered {
					want = "[[{a 1} {b 1} {a 2} {a 3} {b 2} { 9}] [{a 2}]]"
				}
				if got := fmt.Sprint(seen.got); got != want {
					t.Errorf("batches %s, want %s", got, want)
				}
			})
		})
	}
}

func TestBatchSuccessorsComeAgainBehindTheFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		var infos []string
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			for i, r := range rows {
				info, ok := event.FromContext(event.Element(ctx, i))
				infos = append(infos, fmt.Sprint(r.N, " ", info.Attempt, " ", info.Failures, " ", ok))
			}
			if seen.add(rows) == 1 {
				return bus.BatchError{0: errBoom}
			}
			return nil
		}, bus.Batch(3, time.Second), bus.Retry(bus.Backoff{First: time.Minute, Max: time.Minute}))
		start(t, b)
		for n := range 3 {
			publish(t, b, Row{"a", n})
		}
		drain(t, b)
		if got, want := fmt.Sprint(seen.got), "[[{a 0} {a 1} {a 2}] [{a 0} {a 1} {a 2}]]"; got != want {
			t.Errorf("batches %s, want %s", got, want)
		}
		want := []string{"0 1 0 true", "1 1 0 true", "2 1 0 true", "0 2 1 true", "1 1 0 true", "2 1 0 true"}
		if !slices.Equal(infos, want) {
			t.Errorf("attempts and failures %q, want %q", infos, want)
		}
	})
}

func TestBatchFailsAsAWhole(t *testing.T) {
	for name, fail := range map[string]func() error{
		"error":           func() error { return errBoom },
		"panic":           func() error { panic("boom") },
		"index too large": func() error { return bus.BatchError{7: errBoom} },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &witness{}
				b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
				bus.SubscribeBatch(b, "g", func(context.Context, []Row) error { return fail() }, bus.Batch(5, time.Second), bus.Retry(bus.Backoff{First: time.Second, Max: time.Second, Attempts: 2}))
				start(t, b)
				for n := range 5 {
					publish(t, b, Row{"", n})
				}
				drain(t, b)
				if got, want := w.kinds(), "dead dead dead dead dead"; got != want {
					t.Errorf("settled as %q, want %q", got, want)
				}
				if len(w.attempts) != 10 || w.attempts[9].Info.Failures != 1 {
					t.Errorf("%d attempts, want two of each", len(w.attempts))
				}
			})
		})
	}
}

// What an error of a batch handler says about three events.
func TestWhatABatchErrorNames(t *testing.T) {
	bang := errors.New("bang")
	for name, c := range map[string]struct {
		err       error  // nil: a panic
		each, all string // what becomes of each, or the text of the error of all
	}{
		"one":                 {bus.BatchError{1: errBoom}, "ack boom ack", ""},
		"wrapped":             {fmt.Errorf("insert: %w", bus.BatchError{1: errBoom}), "ack boom ack", ""},
		"joined":              {errors.Join(bus.BatchError{1: errBoom}, bus.BatchError{1: bang, 2: bang}), "ack boom bang", ""},
		"joined with another": {errors.Join(bus.BatchError{1: errBoom}, bang), "", "boom\nbang"},
		"none":                {bus.BatchError{}, "ack ack ack", ""},
		"none, joined":        {errors.Join(bus.BatchError{}, bus.BatchError{}), "ack ack ack", ""},
		"without an error":    {bus.BatchError{1: nil}, "ack ack ack", ""},
		"beyond the batch":    {bus.BatchError{3: errBoom}, "", "names event 3 of a batch of 3"},
		"negative":            {bus.BatchError{-1: errBoom, 1: errBoom}, "", "names event -1 of a batch of 3"},
		"panic with one":      {nil, "", "panic: event: 1 events of the batch failed; [1] boom"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &witness{}
				b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
				bus.SubscribeBatch(b, "g", func(context.Context, []Row) error {
					if c.err == nil {
						panic(bus.BatchError{1: errBoom})
					}
					return c.err
				}, bus.Batch(3, time.Second), bus.Retry(bus.Backoff{Attempts: 1}))
				start(t, b)
				for n := range 3 {
					publish(t, b, Row{"", n})
				}
				drain(t, b)
				var got []string
				for _, a := range w.attempts {
					if a.Err == nil {
						got = append(got, "ack")
						continue
					}
					got = append(got, a.Err.Error())
				}
				text := strings.Join(got, " ")
				if c.all == "" && text != c.each || c.all != "" && strings.Count(text, c.all) != 3 {
					t.Errorf("%q, want %q", got, c.each+c.all)
				}
			})
		})
	}
}

// What is said of one event is never said of others, whatever the error is like.
func TestVerdictsOfABatch(t *testing.T) {
	for name, c := range map[string]struct {
		err      error // nil: a panic
		outcomes string
		failures int // of the first event when it comes again
	}{
		"joined":        {errors.Join(bus.BatchError{0: event.Reject(errBoom)}, errBoom), "retried retried retried", 1},
		"beyond":        {bus.BatchError{0: event.Reject(errBoom), 3: errBoom}, "retried retried retried", 1},
		"nested":        {bus.BatchError{0: bus.BatchError{0: event.Reject(errBoom)}}, "retried acked acked", 1},
		"panic":         {nil, "retried retried retried", 1},
		"postponed":     {event.Postpone(time.Hour, bus.BatchError{0: errBoom}), "retried acked acked", 0},
		"for good":      {event.Permanent(bus.BatchError{0: errBoom}), "dead acked acked", -1},
		"rejected":      {event.Reject(bus.BatchError{0: errBoom}), "rejected acked acked", -1},
		"full, one":     {bus.BatchError{0: event.ErrFull}, "retried acked acked", 0},
		"full, another": {bus.BatchError{1: event.ErrFull, 0: errBoom}, "retried retried acked", 1},
		"behind nobody": {bus.BatchError{0: event.ErrBehind}, "retried acked acked", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &witness{}
				b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{w}})
				bus.SubscribeBatch(b, "g", func(context.Context, []Row) error {
					if c.err == nil {
						panic(bus.BatchError{0: event.Reject(errBoom)})
					}
					return c.err
				}, bus.Batch(3, time.Second), bus.Retry(bus.Backoff{Attempts: 3}))
				start(t, b)
				for n := range 3 {
					publish(t, b, Row{"", n})
				}
				pass(6 * time.Hour)
				var got []string
				failures := -1
				first := w.attempts[0].Info.Event.ID()
				for i, a := range w.attempts {
					if i < 3 {
						got = append(got, a.Outcome.String())
					} else if a.Info.Event.ID() == first && failures < 0 {
						failures = a.Info.Failures
					}
				}
				if strings.Join(got, " ") != c.outcomes || failures != c.failures {
					t.Errorf("%v, then %d failures; want %s, %d", got, failures, c.outcomes, c.failures)
				}
			})
		})
	}
}

// An error that says that an event is behind another counts when it is behind none.
func TestBehindNobodyIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch})
		bus.SubscribeBatch(b, "g", func(context.Context, []Row) error { return event.ErrBehind }, bus.Batch(1, 0), bus.Retry(bus.Backoff{Attempts: 3}))
		start(t, b)
		publish(t, b, Row{"a", 1})
		quiet(t, ch)
		if c := letter(t, b, "g").Cause; c.Failures != 3 {
			t.Errorf("cause %+v", c)
		}
	})
}

func TestBatchPublishesUnderTheContextOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var replies []string
		var wrong []error
		var tries int
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			tries++
			wrong = []error{b.Publish(ctx, Job{1}), b.PublishAll(ctx, Job{1}), b.Publish(ctx, Job{1}, bus.Now())}
			for i, r := range rows {
				if err := b.Publish(event.Element(ctx, i), Job{r.N}); err != nil {
					return err
				}
			}
			if tries == 1 {
				return bus.BatchError{1: errBoom}
			}
			return nil
		}, bus.Batch(2, time.Second))
		bus.Subscribe(b, "jobs", func(ctx context.Context, j Job) error {
			info, _ := event.FromContext(ctx)
			replies = append(replies, fmt.Sprint(j.N, " because of ", info.Event.Extension(event.ExtCausationID)))
			return nil
		})
		start(t, b)
		publish(t, b, Row{"", 1}, bus.ID("one"))
		publish(t, b, Row{"", 2}, bus.ID("two"))
		drain(t, b)
		if slices.ContainsFunc(wrong, func(err error) bool { return !errors.Is(err, event.ErrInBatch) }) {
			t.Error("a publish under the batch's own context was accepted")
		}
		if want := []string{"1 because of one", "2 because of two"}; !slices.Equal(replies, want) {
			t.Errorf("published %q, want %q", replies, want)
		}
	})
}

// What can't be decoded is a dead letter; later events of its key come behind it.
func TestBatchWithoutWhatCantBeDecoded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var seen batches
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ch, KeepChannel: true})
		bus.SubscribeBatch(b, "g", func(ctx context.Context, rows []Row) error {
			for i, r := range rows {
				if info, _ := event.FromContext(event.Element(ctx, i)); info.Event.ID() != fmt.Sprint(r.N) {
					t.Errorf("element %d of %v is event %s", i, rows, info.Event.ID())
				}
			}
			seen.add(rows)
			return nil
		}, bus.Batch(4, time.Second))
		start(t, b)
		publish(t, b, Row{"a", 1}, bus.ID("1"))
		bad := event.Attributes{ID: "bad", Source: "/x", Type: "row", Key: "a", ContentType: "application/json", Data: []byte("{")}
		publish(t, b, bad.Event())
		publish(t, b, Row{"a", 2}, bus.ID("2"))
		publish(t, b, Row{"b", 3}, bus.ID("3"))
		if err := ch.Quiet(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got, want := fmt.Sprint(seen.got), "[[{a 1} {b 3}] [{a 2}]]"; got != want {
			t.Errorf("batches %s, want %s", got, want)
		}
		n := 0
		for d, err := range b.DeadLetters(t.Context(), "g") {
			if err != nil || d.Event.ID() != "bad" || d.Cause.Code != "decode" {
				t.Errorf("dead letter %v %+v %v", d.Event, d.Cause, err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
		drain(t, b)
		if err := ch.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
