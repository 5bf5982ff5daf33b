package storetest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// Harness tells how to open the store under test. Only Open is required.
type Harness struct {
	// Open returns a store whose records are kept for a window: a fresh one, or a
	// connection to a server that other cases use too. Each case works with keys of its
	// own.
	Open func(t testing.TB, window time.Duration) idempotency.Store
	// Other returns the store that Open returned last, as another process has it: with a
	// connection of its own. It is called in a bubble of testing/synctest, whose clock is
	// decades behind, and what it starts ends with the test. nil: one process alone can
	// have the store.
	Other func(t testing.TB) idempotency.Store
	// Restart ends the server without warning and starts it again on its data. nil: it
	// can't be done, or what was recorded doesn't survive.
	Restart func(t testing.TB)
	// Bubble runs each case in a bubble of testing/synctest.
	Bubble bool
	// Lease is one worth waiting for; 0: 300 ms.
	Lease time.Duration
	// Window is a window worth waiting for, and how much longer the store may take to
	// forget: some forget by the day. 0: expiry is not tested.
	Window, Late time.Duration
}

type testCase struct {
	name    string
	promise string
	run     func(e *env)
}

// Run tests the store that h opens.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.Lease == 0 {
		h.Lease = 300 * time.Millisecond
	}
	all := append(claimCases(), endCases()...)
	all = append(all, raceCases()...)
	all = append(all, batchCases()...)
	if h.Window > 0 {
		all = append(all, expiryCases()...)
	}
	if h.Other != nil {
		all = append(all, skewCases()...)
	}
	if h.Restart != nil {
		all = append(all, restartCases()...)
	}
	for _, c := range all {
		t.Run(c.name, func(t *testing.T) {
			run := func(t *testing.T) {
				t.Helper()
				e := &env{Harness: h, t: t, name: strings.ToLower(event.NewID())}
				e.store = h.Open(t, window(h, c))
				defer func() {
					if t.Failed() {
						t.Logf("the promise: %s", c.promise)
					}
				}()
				c.run(e)
			}
			if h.Bubble {
				synctest.Test(t, run)
				return
			}
			run(t)
		})
	}
}

// window is that of a case: long, unless it waits for its end.
func window(h Harness, c testCase) time.Duration {
	if strings.HasPrefix(c.name, "Expiry") {
		return h.Window
	}
	return 24 * time.Hour
}

// env is one run of a case.
type env struct {
	Harness

	t     *testing.T
	store idempotency.Store
	name  string
}

// key returns a key that no other case has.
func (e *env) key(id string) idempotency.Key {
	return idempotency.Key{Group: "shop.billing", Source: "/" + e.name, ID: id}
}

func (e *env) ctx() context.Context { return e.t.Context() }

// pass lets a time pass.
func (e *env) pass(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	<-timer.C
}

// claim claims a key and checks what is said of it.
func (e *env) claim(k idempotency.Key, c idempotency.Claim, want idempotency.State) idempotency.Grant {
	e.t.Helper()
	if c.Lease == 0 {
		c.Lease = e.Lease
	}
	g, err := e.store.Claim(e.ctx(), k, c)
	if err != nil {
		e.t.Fatalf("Claim(%v): %v", k, err)
	}
	if g.State != want {
		e.t.Fatalf("Claim(%v): %v, want %v", k, g.State, want)
	}
	return g
}

// claimed claims a key and checks the claim's number.
func (e *env) claimed(k idempotency.Key, fence uint64) {
	e.t.Helper()
	if g := e.claim(k, idempotency.Claim{}, idempotency.Claimed); g.Fence != fence || g.Attempts != int(fence) {
		e.t.Fatalf("Claim(%v): fence %d, attempts %d; want %d of both", k, g.Fence, g.Attempts, fence)
	}
}

// must fails on an error.
func (e *env) must(what string, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%s: %v", what, err)
	}
}
