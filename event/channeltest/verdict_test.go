package channeltest

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// way is one in which a member notices that what it had in hand was taken away.
type way int

const (
	refusedBegin way = iota
	refusedSettle
	toldOf  // while its context ends
	endedOf // its context ends, and nothing was taken away
)

// takesAway is a channel that does so as often as that.
func takesAway(times int64, by way) fault {
	var n atomic.Int64
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		away := func(t event.Token) bool {
			if n.Add(1) > times {
				return false
			}
			_ = c.Consumer.Settle(context.Background(), []event.Settlement{event.Release(t)})
			return true
		}
		switch by {
		case refusedSettle:
			c.settle = func(ctx context.Context, ss []event.Settlement) error {
				away(ss[0].Token)
				return c.Consumer.Settle(ctx, ss)
			}
		case refusedBegin:
			c.begin = func(t event.Token) (context.Context, bool) {
				if away(t) {
					return nil, false
				}
				return c.Consumer.Begin(t)
			}
		case toldOf:
			c.begin = func(t event.Token) (context.Context, bool) {
				ctx, ok := c.Consumer.Begin(t)
				if away(t) {
					c.sub.OnLost([]event.Token{t})
					return ended, true
				}
				return ctx, ok
			}
		case endedOf:
			c.begin = func(event.Token) (context.Context, bool) { return ended, true }
		}
	}}
}

func TestCasesThatShowNothingAreRunAgain(t *testing.T) {
	for name, c := range map[string]struct {
		times  int64
		by     way
		exact  bool
		failed bool
		again  int
	}{
		"never":                         {},
		"once before it is begun":       {times: 1, again: 1},
		"once before it is settled":     {times: 1, by: refusedSettle, again: 1},
		"once, and told":                {times: 1, by: toldOf, again: 1},
		"twice":                         {times: 2, again: 2},
		"three times":                   {times: 3, again: 2, failed: true},
		"broken otherwise":              {by: endedOf, failed: true},
		"on a channel said to be exact": {times: 1, exact: true, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := faultyHarness(takesAway(c.times, c.by))
			h.Exact = c.exact
			r := runAlone(t, h, "DeadLetters/OfOneGroup")
			require.Equal(t, c.failed, len(r.failed) > 0, "%v", r.failed)
			again := slices.DeleteFunc(r.logged, func(line string) bool { return !strings.HasPrefix(line, "try ") })
			require.Len(t, again, c.again)
		})
	}
}

// runAlone runs one case of the suite as Run would, and returns what it said.
func runAlone(t *testing.T, h Harness, name string) *recorder {
	t.Helper()
	for _, topic := range suite() {
		for _, c := range topic.cases {
			if topic.name+"/"+c.name == name {
				return recorded(t, h, func(r *recorder, s *spec) { runCase(r, s, c) })
			}
		}
	}
	require.Fail(t, "no such case", name)
	return nil
}

// recorded declares what a harness has, goes on with f, and returns what was said.
func recorded(t *testing.T, h Harness, f func(r *recorder, s *spec)) *recorder {
	t.Helper()
	r := &recorder{}
	synctest.Test(t, func(t *testing.T) {
		r.TB = t
		s := &spec{Harness: h.withDefaults()}
		s.declare(r)
		f(r, s)
	})
	return r
}

// A wrong declaration is a failure.
func TestWrongDeclarationsFail(t *testing.T) {
	h := faultyHarness(fault{})
	h.Declared = &Declaration{Guarantees: event.Guarantees{Channel: "another"}}
	require.NotEmpty(t, recorded(t, h, func(*recorder, *spec) {}).failed)
}

// What is taken away while the case is cleaned up excuses nothing.
func TestLossesOfCleanUpExcuseNothing(t *testing.T) {
	var told atomic.Int64
	var others []func()
	h := faultyHarness(fault{consumer: func(_ *faulty, c *faultyConsumer) {
		var last event.Token
		var has bool
		c.begin = func(tk event.Token) (ctx context.Context, ok bool) {
			last, has = tk, true
			return c.Consumer.Begin(tk)
		}
		others = append(others, func() {
			if has {
				has = false
				told.Add(1)
				c.sub.OnLost([]event.Token{last})
			}
		})
		c.close = func(ctx context.Context) error {
			for _, f := range others {
				f()
			}
			return c.Consumer.Close(ctx)
		}
	}})
	h.Exact = false
	try := 0
	r := recorded(t, h, func(r *recorder, s *spec) {
		runCase(r, s, testCase{name: "X", promise: "p", run: func(e *env) {
			try++
			topic := e.topic("orders")
			e.join(e.group("idle"), topic)
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 1)...)
			m.begin(m.one())
			if try == 1 {
				e.fatalf("broken, with everything in hand")
			}
			others = nil
		}})
	})
	require.Equal(t, int64(1), told.Load())
	require.NotEmpty(t, r.failed, "tries %d", try)
}

// A case that hangs is not run again.
func TestHangingCasesAreNotRunAgain(t *testing.T) {
	h := faultyHarness(takesAway(1, toldOf))
	h.Exact = false
	tries := 0
	r := recorded(t, h, func(r *recorder, s *spec) {
		runCase(r, s, testCase{name: "X", promise: "p", run: func(e *env) {
			tries++
			if tries > 1 {
				return
			}
			topic := e.topic("orders")
			m := e.join(e.group("mailer"), topic)
			e.produce(topic, unkeyed("x", 1)...)
			m.c.Begin(m.one().Token)
			<-e.ctx.Done() // hangs
		}})
	})
	require.Equal(t, 1, tries)
	require.NotEmpty(t, r.failed)
}
