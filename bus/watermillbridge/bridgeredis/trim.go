package bridgeredis

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// trims removes what all groups have settled from streams, when it is old enough. Redis's
// own trimming, and the library's, knows no groups.
type trims struct {
	client redis.UniversalClient
	keep   time.Duration // 0: for ever
	life   context.Context
	end    context.CancelFunc

	mu      sync.Mutex
	topics  map[string]bool
	running sync.WaitGroup
}

func newTrims(client redis.UniversalClient, keep time.Duration) *trims {
	life, end := context.WithCancel(context.Background())
	return &trims{client: client, keep: keep, life: life, end: end, topics: make(map[string]bool)}
}

// add trims a topic from now on. Its error is that of the first time.
func (t *trims) add(ctx context.Context, topic string) error {
	if t.keep == 0 {
		return nil
	}
	if err := t.trim(ctx, topic); err != nil {
		return fmt.Errorf("bridgeredis: trim %q: %w", topic, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.topics) == 0 && t.life.Err() == nil {
		t.running.Go(t.run)
	}
	t.topics[topic] = true
	return nil
}

func (t *trims) stop() {
	t.mu.Lock()
	t.end()
	t.mu.Unlock()
	t.running.Wait()
}

// run trims again and again.
func (t *trims) run() {
	tick := time.NewTicker(min(max(t.keep/10, time.Second), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-t.life.Done():
			return
		}
		t.mu.Lock()
		topics := slices.Collect(maps.Keys(t.topics))
		t.mu.Unlock()
		for _, topic := range topics {
			_ = t.trim(t.life, topic) // the next time, then
		}
	}
}

// trim removes what is old and settled. A topic that nobody reads yet keeps all. What a
// group has settled stays settled: it doesn't matter that the groups are asked one after
// the other.
func (t *trims) trim(ctx context.Context, topic string) error {
	groups, err := t.client.XInfoGroups(ctx, topic).Result()
	if redis.HasErrorPrefix(err, "no such key") || err == nil && len(groups) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	now, err := t.client.Time(ctx).Result()
	if err != nil {
		return err
	}
	first := entryID{ms: uint64(max(now.Add(-t.keep).UnixMilli(), 0))}
	for _, g := range groups {
		pending, err := t.client.XPending(ctx, topic, g.Name).Result()
		if err != nil {
			return err
		}
		need := g.LastDeliveredID
		if pending.Count > 0 {
			need = pending.Lower
		}
		id, err := parseID(need)
		if err != nil {
			return err
		}
		first = slices.MinFunc([]entryID{first, id}, entryID.compare)
	}
	return t.client.XTrimMinIDApprox(ctx, topic, first.String(), 0).Err()
}

// entryID is the id of an entry.
type entryID struct{ ms, seq uint64 }

func parseID(s string) (id entryID, err error) {
	ms, seq, _ := strings.Cut(s, "-")
	if id.ms, err = strconv.ParseUint(ms, 10, 64); err != nil {
		return id, err
	}
	id.seq, err = strconv.ParseUint(seq, 10, 64)
	return id, err
}

func (a entryID) compare(b entryID) int {
	return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.seq, b.seq))
}

// String returns the id as Redis writes it.
func (a entryID) String() string { return fmt.Sprintf("%d-%d", a.ms, a.seq) }
