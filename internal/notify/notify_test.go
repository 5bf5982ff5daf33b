package notify_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/notify"
)

// Each calls for every index once, and for no more than the limit at a time.
func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for n := range 20 {
			var mu sync.Mutex
			now, most := 0, 0
			calls := make([]int, n)
			notify.Each(n, 4, func(i int) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second) // virtual
				mu.Lock()
				calls[i]++
				now--
				mu.Unlock()
			})
			for i, c := range calls {
				require.Equal(t, 1, c, i)
			}
			require.Equal(t, min(n, 4), most)
		}
	})
}

// A panic reaches the caller, when all other calls have been made.
func TestEachPanics(t *testing.T) {
	var calls atomic.Int64
	require.PanicsWithValue(t, "three", func() {
		notify.Each(10, 2, func(i int) {
			calls.Add(1)
			if i == 3 {
				panic("three")
			}
		})
	})
	require.Equal(t, int64(10), calls.Load())
	require.Panics(t, func() { notify.Each(1, 2, func(int) { panic("one") }) })
}

func TestJoin(t *testing.T) {
	a, b := errors.New("a"), errors.New("b")
	told := notify.Failure{}
	for name, c := range map[string]struct {
		all  []notify.Failure
		want event.Verdict
		text string
	}{
		"none":               {nil, event.Verdict{}, ""},
		"all told":           {[]notify.Failure{told, told}, event.Verdict{}, ""},
		"one":                {[]notify.Failure{{Err: a}}, event.Verdict{Kind: event.Failed}, "p: a"},
		"one of two":         {[]notify.Failure{told, {Err: a}}, event.Verdict{Kind: event.Failed}, "p: 1 of 2: a"},
		"for good":           {[]notify.Failure{told, {Err: a, ForGood: true}}, event.Verdict{Kind: event.FailedForGood}, "permanent: p: 1 of 2: a"},
		"one can be helped":  {[]notify.Failure{{Err: a, ForGood: true}, {Err: b}}, event.Verdict{Kind: event.Failed}, "p: 2 of 2: a; b"},
		"nor can the last":   {[]notify.Failure{{Err: b}, {Err: a, ForGood: true}}, event.Verdict{Kind: event.Failed}, "p: 2 of 2: b; a"},
		"the longest":        {[]notify.Failure{{Err: a, Timed: true, After: time.Minute}, {Err: b, Timed: true, After: time.Second}, {Err: a}}, event.Verdict{Kind: event.Failed, Timed: true, After: time.Minute}, "retry after 1m0s: p: 3 of 3: a; b; a"},
		"a mark within":      {[]notify.Failure{{Err: event.Permanent(a)}, {Err: b}}, event.Verdict{Kind: event.Failed}, "p: 2 of 2: permanent: a; b"},
		"no wait for good":   {[]notify.Failure{{Err: a, ForGood: true, Timed: true, After: time.Hour}, {Err: b}}, event.Verdict{Kind: event.Failed}, "p: 2 of 2: a; b"},
		"more than are told": {[]notify.Failure{{Err: a}, {Err: b}, {Err: a}, {Err: b}, {Err: b}}, event.Verdict{Kind: event.Failed}, "p: 5 of 5: a; b; a; and 2 more"},
	} {
		t.Run(name, func(t *testing.T) {
			err := notify.Join("p", c.all)
			require.Equal(t, c.want, event.VerdictOf(err))
			if c.text == "" {
				require.NoError(t, err)
				return
			}
			require.EqualError(t, err, c.text)
			for _, f := range c.all {
				if f.Err != nil {
					require.ErrorIs(t, err, f.Err)
				}
			}
			require.NotErrorIs(t, err, io.EOF)
		})
	}
}

func TestOf(t *testing.T) {
	err := errors.New("x")
	require.Equal(t, notify.Failure{}, notify.Of(nil))
	require.Equal(t, notify.Failure{Err: err}, notify.Of(err))
	require.True(t, notify.Of(event.Permanent(err)).ForGood)
	for _, e := range []error{event.RetryAfter(time.Hour, err), event.Postpone(time.Hour, err)} {
		f := notify.Of(e)
		require.True(t, f.Timed)
		require.Equal(t, time.Hour, f.After)
		require.False(t, f.ForGood)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]struct {
		after time.Duration
		ok    bool
	}{
		"":                               {0, false},
		"soon":                           {0, false},
		"-5":                             {0, false},
		"+5":                             {0, false},
		"1.5":                            {0, false},
		"0":                              {0, true},
		" 120 ":                          {2 * time.Minute, true},
		"3600":                           {time.Hour, true},
		"3601":                           {time.Hour, true},
		"99999999999999999999999":        {time.Hour, true},
		"9223372036854775807":            {time.Hour, true},
		"Sun, 01 Mar 2026 12:00:30 GMT":  {30 * time.Second, true},
		"Sun, 01 Mar 2026 11:00:00 GMT":  {0, true},
		"Mon, 02 Mar 2026 12:00:00 GMT":  {time.Hour, true},
		"Sunday, 01-Mar-26 12:00:10 GMT": {10 * time.Second, true},
	} {
		h := http.Header{}
		h.Set("Retry-After", text)
		after, ok := notify.RetryAfter(h, now, time.Hour)
		require.Equal(t, want.ok, ok, text)
		require.Equal(t, want.after, after, text)
	}
}

// Errors of the network keep their text, and what a server sent is in none.
func TestCause(t *testing.T) {
	dial := &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		err  error
		text string
	}{
		"network":  {dial, "dial tcp: connection refused"},
		"name":     {&net.DNSError{Err: "no such host", Name: "a.example"}, "lookup a.example: no such host"},
		"deadline": {fmt.Errorf("secret: %w", context.DeadlineExceeded), "no answer in time: context deadline exceeded"},
		"cancel":   {fmt.Errorf("secret: %w", context.Canceled), "context canceled"},
		"closed":   {fmt.Errorf("secret: %w", io.EOF), "the connection was closed without an answer"},
		"other":    {errors.New(`malformed HTTP response "secret"`), "no answer that can be read (*errors.errorString)"},
	} {
		t.Run(name, func(t *testing.T) { require.EqualError(t, notify.Cause(c.err), c.text) })
	}
	require.ErrorIs(t, notify.Cause(dial), dial)
	require.ErrorIs(t, notify.Cause(context.DeadlineExceeded), context.DeadlineExceeded)
}
