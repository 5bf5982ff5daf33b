package storetest

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

func claimCases() []testCase {
	return []testCase{
		{
			"Claim", "A claim is one's own until it ends, and tells others how long it lasts.",
			func(e *env) {
				k := e.key("a")
				e.claimed(k, 1)
				g := e.claim(k, idempotency.Claim{Lease: time.Hour}, idempotency.Busy)
				if g.Left <= 0 || g.Left > e.Lease {
					e.t.Errorf("a lease of %v has %v left", e.Lease, g.Left)
				}
				e.claimed(e.key("b"), 1)
			},
		},
		{
			"LeaseEnds", "When a lease has ended the key can be claimed, by a higher number; who had it before is refused.",
			func(e *env) {
				k := e.key("a")
				e.claimed(k, 1)
				e.pass(e.Lease + e.Lease/4)
				if g := e.claim(k, idempotency.Claim{Lease: time.Minute}, idempotency.Claimed); g.Fence != 2 || g.Attempts != 2 {
					e.t.Fatalf("fence %d, attempts %d", g.Fence, g.Attempts)
				}
				e.refused(k, 1)
				e.must("Complete", e.store.Complete(e.ctx(), k, 2, idempotency.Record{}))
			},
		},
		{
			"Extend", "An extended claim lasts for another lease from then on.",
			func(e *env) {
				k := e.key("a")
				e.claimed(k, 1)
				for range 4 {
					e.pass(e.Lease / 2)
					e.must("Extend", e.store.Extend(e.ctx(), k, 1, e.Lease))
				}
				e.claim(k, idempotency.Claim{}, idempotency.Busy)
				e.pass(e.Lease + e.Lease/4)
				e.must("Extend of a claim that nobody took over", e.store.Extend(e.ctx(), k, 1, time.Minute))
				e.claim(k, idempotency.Claim{}, idempotency.Busy)
			},
		},
		{
			"Fingerprint", "A key that is known with another fingerprint is not claimed, whatever became of it.",
			func(e *env) {
				one, two := idempotency.Claim{Fingerprint: "one"}, idempotency.Claim{Fingerprint: "two"}
				k := e.key("a")
				e.claim(k, one, idempotency.Claimed)
				e.claim(k, two, idempotency.Mismatch)
				e.must("Release", e.store.Release(e.ctx(), k, 1))
				e.claim(k, two, idempotency.Mismatch)
				e.claim(k, one, idempotency.Claimed)
				e.must("Complete", e.store.Complete(e.ctx(), k, 2, idempotency.Record{}))
				e.claim(k, two, idempotency.Mismatch)
				e.claim(k, idempotency.Claim{}, idempotency.Completed)
				e.claim(k, one, idempotency.Completed)
			},
		},
		{
			"Keys", "Keys are equal only when all their parts are.",
			func(e *env) {
				long := strings.Repeat("x", 1000)
				of := func(group, tenant, source, id string) idempotency.Key {
					return idempotency.Key{Group: group, Tenant: tenant, Source: source, ID: id}
				}
				for _, k := range []idempotency.Key{
					of("g", "t", e.name, "1"), of("g", "", e.name+"t", "1"), of("g", "t|"+e.name, "", "1"), of("g|t", "", e.name, "1"),
					of("g", "t", e.name, "1|"), of("g", "t", e.name, "%7C1"), of("g", "t", e.name, "|1"), of("g2", "t", e.name, "1"),
					of("g", "t", e.name, long+"1"), of("g", "t", e.name, long+"2"), of("g", "t", e.name+"ü", strings.Repeat("ü", 300)),
					of("g", "t", e.name+"ü", strings.Repeat("ü", 301)), idempotency.StringKey(e.name), idempotency.StringKey(e.name + "|"),
				} {
					e.claimed(k, 1)
				}
			},
		},
		{
			"EndedContext", "A context that has ended is an error, and nothing is claimed.",
			func(e *env) {
				ctx, cancel := context.WithCancel(e.ctx())
				cancel()
				if _, err := e.store.Claim(ctx, e.key("a"), idempotency.Claim{Lease: e.Lease}); err == nil {
					e.t.Error("Claim with a context that has ended returned no error")
				}
				e.claimed(e.key("a"), 1)
				if _, err := e.store.Claim(e.ctx(), e.key("b"), idempotency.Claim{}); err == nil {
					e.t.Error("a claim without a lease was granted")
				}
			},
		},
	}
}

// refused fails when a claim that is another's can do anything.
func (e *env) refused(k idempotency.Key, fence uint64) {
	e.t.Helper()
	for what, err := range map[string]error{
		"Extend":   e.store.Extend(e.ctx(), k, fence, time.Minute),
		"Complete": e.store.Complete(e.ctx(), k, fence, idempotency.Record{Rejected: event.NewError("zombie", "it came back")}),
		"Fail":     e.store.Fail(e.ctx(), k, fence),
		"Release":  e.store.Release(e.ctx(), k, fence),
	} {
		if !errors.Is(err, idempotency.ErrFenced) {
			e.t.Errorf("%s by the claim %d, which is over: %v, not ErrFenced", what, fence, err)
		}
	}
}

// full is a record with everything in it.
func full() idempotency.Record {
	of := func(id string) event.Event {
		return event.Attributes{
			ID: id, Source: "/s", Type: "t", Key: "k", Subject: "sübject", Time: time.Unix(1e9, 7).UTC(),
			ContentType: "application/octet-stream", Data: []byte("\x00\xff{"), Extensions: []event.Extension{{Name: "tenant", Value: "ü"}},
		}.Event()
	}
	return idempotency.Record{
		Result: &event.Result{ContentType: "application/json", Data: []byte(`{"n": 1.0}`)},
		Sent:   []idempotency.Sent{{Topic: "a", Events: []event.Event{of("1"), of("2")}}, {Topic: "b", Events: []event.Event{of("3")}}},
	}
}

func sameRecord(a, b idempotency.Record) bool {
	if len(a.Sent) != len(b.Sent) || !reflect.DeepEqual(a.Result, b.Result) || !reflect.DeepEqual(a.Rejected, b.Rejected) {
		return false
	}
	for i := range a.Sent {
		if a.Sent[i].Topic != b.Sent[i].Topic || len(a.Sent[i].Events) != len(b.Sent[i].Events) {
			return false
		}
		for j := range a.Sent[i].Events {
			if !a.Sent[i].Events[j].Equal(b.Sent[i].Events[j]) {
				return false
			}
		}
	}
	return true
}

func endCases() []testCase {
	return []testCase{
		{
			"Complete", "What is completed is so for all, with its record, also when it was to be retaken.",
			func(e *env) {
				large := idempotency.Record{Result: &event.Result{ContentType: "text/plain", Data: []byte(strings.Repeat("x", 256<<10))}}
				no := idempotency.Record{Rejected: event.NewError("sold_out", "none left").WithDetails(map[string]int{"left": 0})}
				for i, r := range []idempotency.Record{{}, full(), no, large} {
					k := e.key(strconv.Itoa(i))
					e.claimed(k, 1)
					e.must("Complete", e.store.Complete(e.ctx(), k, 1, r))
					for _, c := range []idempotency.Claim{{}, {Retake: true}} {
						if g := e.claim(k, c, idempotency.Completed); !sameRecord(g.Record, r) {
							e.t.Errorf("the record %+v came as %+v", r, g.Record)
						}
					}
					e.refused(k, 1)
					e.claim(k, idempotency.Claim{}, idempotency.Completed)
				}
			},
		},
		{
			"Fail", "What has failed for good is so for all but for who retakes it.",
			func(e *env) {
				k := e.key("a")
				e.claimed(k, 1)
				e.must("Fail", e.store.Fail(e.ctx(), k, 1))
				e.claim(k, idempotency.Claim{}, idempotency.Failed)
				e.refused(k, 1)
				if g := e.claim(k, idempotency.Claim{Retake: true}, idempotency.Claimed); g.Fence != 2 {
					e.t.Fatalf("fence %d", g.Fence)
				}
				e.claim(k, idempotency.Claim{Retake: true}, idempotency.Busy)
				e.must("Complete", e.store.Complete(e.ctx(), k, 2, idempotency.Record{}))
				e.claim(k, idempotency.Claim{Retake: true}, idempotency.Completed)
			},
		},
		{
			"Release", "What was released can be claimed at once, by a higher number.",
			func(e *env) {
				k := e.key("a")
				for n := range uint64(4) {
					e.claimed(k, n+1)
					e.must("Release", e.store.Release(e.ctx(), k, n+1))
					e.refused(k, n+1)
				}
			},
		},
		{
			"Unknown", "Nothing can be done by a claim that nobody has.",
			func(e *env) {
				e.refused(e.key("unknown"), 1)
				e.claimed(e.key("a"), 1)
				e.refused(e.key("a"), 2)
				e.refused(e.key("a"), 0)
				e.must("Complete", e.store.Complete(e.ctx(), e.key("a"), 1, idempotency.Record{}))
			},
		},
	}
}

func raceCases() []testCase {
	return []testCase{
		{
			"Race", "Of any number of claimers at a time one gets the key.",
			func(e *env) {
				const claimers, keys = 64, 20
				for i := range keys {
					k := e.key(strconv.Itoa(i))
					var got, others atomic.Int64
					var all sync.WaitGroup
					start := make(chan struct{})
					for range claimers {
						all.Go(func() {
							<-start
							g, err := e.store.Claim(e.ctx(), k, idempotency.Claim{Lease: time.Minute, Fingerprint: "f"})
							switch {
							case err != nil:
								e.t.Errorf("Claim: %v", err)
							case g.State == idempotency.Claimed:
								got.Add(1)
							case g.State == idempotency.Busy:
								others.Add(1)
							}
						})
					}
					close(start)
					all.Wait()
					if got.Load() != 1 || others.Load() != claimers-1 {
						e.t.Fatalf("of %d claimers %d got the key, and %d were told that it is taken", claimers, got.Load(), others.Load())
					}
				}
			},
		},
		{
			"RaceForTheRest", "Of any number who take over what has ended one gets it, and who had it before doesn't.",
			func(e *env) {
				const claimers = 64
				k := e.key("a")
				e.claimed(k, 1)
				e.pass(e.Lease + e.Lease/4)
				var got atomic.Int64
				var all sync.WaitGroup
				for range claimers {
					all.Go(func() {
						g, err := e.store.Claim(e.ctx(), k, idempotency.Claim{Lease: time.Minute})
						if err == nil && g.State == idempotency.Claimed && g.Fence == 2 {
							got.Add(1)
						}
					})
				}
				all.Wait()
				if got.Load() != 1 {
					e.t.Fatalf("%d got it", got.Load())
				}
				e.refused(k, 1)
			},
		},
	}
}

func batchCases() []testCase {
	return []testCase{
		{
			"Batch", "Many keys are claimed, and completed, as they would be one after the other.",
			func(e *env) {
				const n = 100
				keys, claims := make([]idempotency.Key, n), make([]idempotency.Claim, n)
				for i := range n {
					keys[i], claims[i] = e.key(strconv.Itoa(i)), idempotency.Claim{Lease: time.Minute, Fingerprint: "f"}
				}
				claims[3].Lease = 0
				e.claim(keys[5], idempotency.Claim{Lease: time.Minute}, idempotency.Claimed)
				e.claim(keys[7], idempotency.Claim{Lease: time.Minute}, idempotency.Claimed)
				e.must("Complete", e.store.Complete(e.ctx(), keys[7], 1, full()))
				e.claim(keys[9], idempotency.Claim{Lease: time.Minute, Fingerprint: "g"}, idempotency.Claimed)
				want := map[int]idempotency.State{5: idempotency.Busy, 7: idempotency.Completed, 9: idempotency.Mismatch}
				grants, errs := e.claimAll(keys, claims)
				for i, g := range grants {
					switch {
					case (errs[i] != nil) != (i == 3):
						e.t.Fatalf("claim %d: %v", i, errs[i])
					case i != 3 && g.State != want[i]:
						e.t.Fatalf("claim %d: %v, want %v", i, g.State, want[i])
					case i != 3 && g.State == idempotency.Claimed && (g.Fence != 1 || g.Attempts != 1):
						e.t.Fatalf("claim %d: fence %d, attempts %d", i, g.Fence, g.Attempts)
					}
				}
				if !sameRecord(grants[7].Record, full()) {
					e.t.Errorf("the record came as %+v", grants[7].Record)
				}
				fences, records := make([]uint64, n), make([]idempotency.Record, n)
				for i := range n {
					fences[i] = 1
				}
				fences[11], records[13] = 2, full()
				for i, err := range e.completeAll(keys, fences, records) {
					if want := i == 3 || i == 7 || i == 11; errors.Is(err, idempotency.ErrFenced) != want || err != nil && !want {
						e.t.Errorf("completed %d: %v", i, err)
					}
				}
				if g := e.claim(keys[13], idempotency.Claim{}, idempotency.Completed); !sameRecord(g.Record, full()) {
					e.t.Errorf("the record came as %+v", g.Record)
				}
				e.claim(keys[11], idempotency.Claim{}, idempotency.Busy)
			},
		},
		{
			"BatchRace", "Of many who claim the same keys at a time, in any order, each key goes to one.",
			func(e *env) {
				const claimers, n = 16, 50
				var got [n]atomic.Int64
				var all sync.WaitGroup
				for c := range claimers {
					if (2*c+1)%5 == 0 {
						continue // it would not take each once
					}
					all.Go(func() {
						var keys []idempotency.Key
						var claims []idempotency.Claim
						at := func(i int) int { return (i*(2*c+1) + c) % n }
						for i := range n {
							keys, claims = append(keys, e.key(strconv.Itoa(at(i)))), append(claims, idempotency.Claim{Lease: time.Minute})
						}
						grants, errs := e.claimAll(keys, claims)
						for i, g := range grants {
							if errs[i] != nil {
								e.t.Errorf("claim: %v", errs[i])
							} else if g.State == idempotency.Claimed {
								got[at(i)].Add(1)
							}
						}
					})
				}
				all.Wait()
				for i := range n {
					if got[i].Load() != 1 {
						e.t.Errorf("key %d was claimed %d times", i, got[i].Load())
					}
				}
			},
		},
	}
}

// claimAll claims keys together where the store can.
func (e *env) claimAll(keys []idempotency.Key, claims []idempotency.Claim) ([]idempotency.Grant, []error) {
	if many, ok := e.store.(idempotency.BatchStore); ok {
		return many.ClaimAll(e.ctx(), keys, claims)
	}
	grants, errs := make([]idempotency.Grant, len(keys)), make([]error, len(keys))
	for i, k := range keys {
		grants[i], errs[i] = e.store.Claim(e.ctx(), k, claims[i])
	}
	return grants, errs
}

// completeAll completes keys together where the store can.
func (e *env) completeAll(keys []idempotency.Key, fences []uint64, records []idempotency.Record) []error {
	if many, ok := e.store.(idempotency.BatchStore); ok {
		return many.CompleteAll(e.ctx(), keys, fences, records)
	}
	errs := make([]error, len(keys))
	for i, k := range keys {
		errs[i] = e.store.Complete(e.ctx(), k, fences[i], records[i])
	}
	return errs
}

func expiryCases() []testCase {
	return []testCase{
		{
			"ExpiryOfRecords", "A record is kept for a window, and forgotten some time after that.",
			func(e *env) {
				k, failed := e.key("a"), e.key("b")
				e.claimed(k, 1)
				e.claimed(failed, 1)
				e.must("Complete", e.store.Complete(e.ctx(), k, 1, idempotency.Record{}))
				e.must("Fail", e.store.Fail(e.ctx(), failed, 1))
				e.pass(e.Window * 9 / 10)
				e.claim(k, idempotency.Claim{}, idempotency.Completed)
				e.claim(failed, idempotency.Claim{}, idempotency.Failed)
				e.pass(e.Window + e.Late)
				e.claim(k, idempotency.Claim{}, idempotency.Claimed)
				e.claim(failed, idempotency.Claim{}, idempotency.Claimed)
			},
		},
	}
}

func skewCases() []testCase {
	return []testCase{
		{
			"Skew", "The store's clock counts: workers whose clocks are decades apart agree on who has a key, and for how long.",
			func(e *env) {
				const lease = time.Hour
				early, late := e.key("early"), e.key("late")
				busy := func(t *testing.T, s idempotency.Store, k idempotency.Key) {
					g, err := s.Claim(t.Context(), k, idempotency.Claim{Lease: lease})
					if err != nil || g.State != idempotency.Busy || g.Left <= lease/2 || g.Left > lease {
						t.Errorf("Claim: %v, %v left, %v; want busy, for an hour at most", g.State, g.Left, err)
					}
				}
				e.claim(late, idempotency.Claim{Lease: lease}, idempotency.Claimed)
				synctest.Test(e.t, func(t *testing.T) {
					other := e.Other(t)
					busy(t, other, late)
					if g, err := other.Claim(t.Context(), early, idempotency.Claim{Lease: lease}); err != nil || g.State != idempotency.Claimed {
						t.Errorf("Claim: %v, %v", g.State, err)
					}
				})
				busy(e.t, e.store, early)
				e.must("Complete", e.store.Complete(e.ctx(), late, 1, idempotency.Record{}))
				synctest.Test(e.t, func(t *testing.T) {
					g, err := e.Other(t).Claim(t.Context(), late, idempotency.Claim{Lease: lease})
					if err != nil || g.State != idempotency.Completed {
						t.Errorf("Claim of what was done: %v, %v", g.State, err)
					}
				})
			},
		},
	}
}

func restartCases() []testCase {
	return []testCase{
		{
			"Restart", "Claims and records survive the end of the server.",
			func(e *env) {
				done, held := e.key("done"), e.key("held")
				e.claimed(done, 1)
				e.must("Complete", e.store.Complete(e.ctx(), done, 1, full()))
				e.claim(held, idempotency.Claim{Lease: time.Hour}, idempotency.Claimed)
				e.Restart(e.t)
				e.back()
				if g := e.claim(done, idempotency.Claim{}, idempotency.Completed); !sameRecord(g.Record, full()) {
					e.t.Errorf("the record came as %+v", g.Record)
				}
				e.claim(held, idempotency.Claim{}, idempotency.Busy)
				e.must("Complete", e.store.Complete(e.ctx(), held, 1, idempotency.Record{}))
			},
		},
	}
}

// back waits until the store answers again.
func (e *env) back() {
	e.t.Helper()
	for range 100 {
		if _, err := e.store.Claim(e.ctx(), e.key("back"), idempotency.Claim{Lease: time.Millisecond}); err == nil {
			return
		}
		e.pass(100 * time.Millisecond)
	}
	e.t.Fatal("the store didn't come back")
}
