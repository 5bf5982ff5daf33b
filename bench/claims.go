package bench

import (
	"hash/maphash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/idempotency"
)

// claimers is how many goroutines claim keys.
const claimers = 4

// claims is the scenario of a store in memory: every key is claimed and completed once.
func claims(goal float64) Scenario {
	return Scenario{"claims", "a key is claimed and completed, by four goroutines, in memory", []Side{
		{"leat", Leat, 0, func() (*Stream, error) {
			store := idempotency.NewMemory(idempotency.MemoryConfig{Capacity: 1 << 30})
			ctx, c := new(event.Lease), idempotency.Claim{Lease: time.Minute}
			return openClaims(func(key idempotency.Key) error {
				g, err := store.Claim(ctx, key, c)
				if err != nil {
					return err
				}
				if g.State != idempotency.Claimed {
					return errAgain
				}
				return store.Complete(ctx, key, g.Fence, idempotency.Record{})
			})
		}},
		{"map", Floor, goal, func() (*Stream, error) {
			m := newShardedMap()
			return openClaims(func(key idempotency.Key) error {
				if !m.claim(key) {
					return errAgain
				}
				m.complete(key)
				return nil
			})
		}},
	}}
}

// openClaims makes a stream of what is done to each of n keys that nobody had before.
func openClaims(do func(idempotency.Key) error) (*Stream, error) {
	made := 0
	var all []idempotency.Key
	return &Stream{
		Prepare: func(n int) error {
			all = make([]idempotency.Key, n)
			for i := range all {
				made++
				all[i] = idempotency.Key{Group: "shop.billing", Source: source, ID: "01JD4Z5T7Q" + strconv.Itoa(1e9+made)}
			}
			return nil
		},
		Run: func(n int) error {
			return spread(claimers, n, func(i int) error { return do(all[i]) })
		},
		Close: func() error { return nil },
	}, nil
}

// spread calls do with the numbers below n from some goroutines, each with its share.
func spread(goroutines, n int, do func(i int) error) error {
	var wg sync.WaitGroup
	var failed atomic.Pointer[error]
	share := (n + goroutines - 1) / goroutines
	for g := range goroutines {
		wg.Go(func() {
			for i := g * share; i < min((g+1)*share, n) && failed.Load() == nil; i++ {
				if err := do(i); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// shardedMap is what one would write: it knows which keys are claimed and which are done.
// It forgets nothing, nobody can take over from one who died, and there is no result.
type shardedMap struct {
	seed   maphash.Seed
	shards [64]struct {
		mu     sync.Mutex
		states map[idempotency.Key]bool
	}
}

func newShardedMap() *shardedMap {
	m := &shardedMap{seed: maphash.MakeSeed()}
	for i := range m.shards {
		m.shards[i].states = make(map[idempotency.Key]bool)
	}
	return m
}

func (m *shardedMap) claim(key idempotency.Key) bool {
	s := &m.shards[maphash.Comparable(m.seed, key)%uint64(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.states[key]; known {
		return false
	}
	s.states[key] = false
	return true
}

func (m *shardedMap) complete(key idempotency.Key) {
	s := &m.shards[maphash.Comparable(m.seed, key)%uint64(len(m.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.states[key] = true
}
