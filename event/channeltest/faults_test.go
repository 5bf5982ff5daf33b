package channeltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// badDay is a channel's bad day, of every kind.
func badDay(seed uint64) memory.Option {
	return memory.WithFaults(memory.Faults{
		Seed: seed, Redeliver: 0.1, Delay: time.Duration(seed%3) * time.Second, LoseAck: 0.1, LoseLease: 0.1,
		FailSettle: 0.1, FailReceive: 0.1, Reorder: 0.3,
	})
}

// aDay runs the long day on a channel with faults and a fault besides, and returns
// what the case says.
func aDay(t *testing.T, f fault, seed uint64) (failed []string) {
	t.Helper()
	h := faultyHarness(f, badDay(seed), memory.Lease(time.Second))
	h.Faulty, h.Seed, h.Events = true, seed, 1000
	synctest.Test(t, func(t *testing.T) {
		s := &spec{Harness: h.withDefaults()}
		s.declare(&recorder{TB: t})
		r := &recorder{TB: t}
		runCase(r, s, faultsCases[0])
		failed = r.failed
	})
	return failed
}

// TestBrokenChannelsAreCaughtOnABadDay holds that faults don't hide what is broken.
func TestBrokenChannelsAreCaughtOnABadDay(t *testing.T) {
	for name, says := range map[string]string{
		"loses every 7th event":              `it lacks p|owed first`,
		"reorders a key within a call":       `which it comes before|owed first`,
		"keeps order by a prefix of the key": `which it comes before|owed first|in the hand of`,
		twoMembers:                           `in the hand of .*, not settled|given back and is owed first`,
		"groups share":                       `it lacks p|owed first|ProduceTo`,
		"produces to all groups":             `was produced to the group ".*" alone`,
		"drops the subject of some":          `changed: subject was`,
		"forgets acks":                       `still Quiet waits|it lacks p`,
		"delivers early":                     `came .* early`,
		"marks are forgotten":                `was driven again for .* and did not come, marked as redriven`,
	} {
		t.Run(name, func(t *testing.T) {
			caught := 0
			for seed := range uint64(8) {
				all := strings.Join(aDay(t, mutantOf(t, name).fault, seed), "\n")
				if all != "" {
					require.Regexp(t, says, all, "seed %d", seed)
					require.Contains(t, all, fmt.Sprintf("\n\tThe faults: seed %d", seed))
					caught++
				}
			}
			require.GreaterOrEqual(t, caught, 4, "days on which it is caught")
		})
	}
}

// TestFaultsAreNoFailure holds that the wrapper alone breaks nothing on a bad day.
func TestFaultsAreNoFailure(t *testing.T) {
	for seed := range uint64(20) {
		require.Empty(t, aDay(t, fault{}, seed), "seed %d", seed)
	}
}

// TestWhatIsSaidOfBrokenChannels holds that a failure says what was broken.
func TestWhatIsSaidOfBrokenChannels(t *testing.T) {
	for name, c := range map[string]struct{ byCase, says string }{
		"loses every 7th event":           {"Delivery/EveryGroup", `waited .* for 1 deliveries and got 0 .*; its group is owed x-14, x-7`},
		doubles:                           {"Settle/AckIsTheEnd", `got x-20 again after it was settled`},
		"reorders a key within a call":    {"Order/WithinCall", `of key "b" after .*, which it comes before`},
		twoMembers:                        {"Order/KeyStays", `got stays-1, which is in the hand of .*, not settled`},
		"forgets acks":                    {"Settle/Many", `again after it was settled`},
		"delivers early":                  {"Delay/NotBefore", `x-1 came 5m0s early`},
		"retries are not delayed":         {"Delay/Retry", `the retry of x-1 came 5m0s early`},
		"accepts stale tokens in silence": {"Settle/Twice", `Settle accepted a second ack of x-1; it had to refuse it with ErrLeaseLost`},
		"Close hangs":                     {"Close/NobodyReads", `Consumer.Close of .* did not return in`},
	} {
		t.Run(name, func(t *testing.T) {
			m := mutantOf(t, name)
			got := caught(t, faultyHarness(m.fault, m.opts...), func(name string) bool { return name == c.byCase })
			require.Regexp(t, c.says, got[c.byCase])
		})
	}
	t.Run("dead-letters after the ack", func(t *testing.T) {
		const byCase = "DeadLetters/BeforeTheOrigin"
		got := caught(t, logHarness("the origin before the letter"), func(name string) bool { return name == byCase })
		require.Regexp(t, `the dead letters of .* are \[a-1\]; it is still so: \[\]`, got[byCase])
		require.Contains(t, got[byCase], "A dead letter is durable before its origin is settled")
	})
}

func mutantOf(t *testing.T, name string) mutant {
	t.Helper()
	all := append(mutants(), mutant{name: "drops the subject of some", fault: onDelivery(func(d *event.Delivery) {
		if strings.HasSuffix(d.Event.ID(), "-2") {
			d.Event = d.Event.WithSubject("other")
		}
	})})
	i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return all[i]
}

const twoMembers = "gives one key to two members"

// twoHands is a channel that delivers what one member of a group has in hand to
// another one, too.
func twoHands() []mutant {
	var mu sync.Mutex
	type held struct {
		d  event.Delivery
		by *faultyConsumer
	}
	last := map[string]held{} // by group
	return []mutant{{name: twoMembers, byCase: []string{"Order/KeyStays"}, fault: fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.receive = func(ctx context.Context, buf []event.Delivery) (int, error) {
			n, err := c.Consumer.Receive(ctx, buf[:max(1, len(buf)-1)])
			mu.Lock()
			defer mu.Unlock()
			if l, ok := last[c.sub.Group]; ok && n > 0 && n < len(buf) && l.by != c && l.d.Event.Key() != buf[n-1].Event.Key() {
				buf[n] = l.d
				buf[n].Token[1] ^= 1 << 60
				delete(last, c.sub.Group)
				return n + 1, err
			}
			if _, taken := last[c.sub.Group]; !taken && n > 0 && buf[n-1].Event.Key() != "" && !warm(buf[n-1].Event) {
				last[c.sub.Group] = held{buf[n-1], c}
			}
			return n, err
		}
		c.settle = func(ctx context.Context, ss []event.Settlement) error {
			mu.Lock()
			if l, ok := last[c.sub.Group]; ok && l.by == c && slices.ContainsFunc(ss, func(s event.Settlement) bool { return s.Token == l.d.Token }) {
				delete(last, c.sub.Group)
			}
			mu.Unlock()
			return c.Consumer.Settle(ctx, ss)
		}
	}}}}
}
