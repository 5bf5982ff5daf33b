package memory_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/event/channeltest"
)

// badDay returns the faults of a seed: some kinds or all, rare or frequent.
func badDay(seed uint64) memory.Faults {
	r := rand.New(rand.NewPCG(seed, 1))
	p := func() float64 { return max(0, r.Float64()-0.4) / 2 }
	return memory.Faults{
		Seed:        seed,
		Redeliver:   p(),
		Delay:       time.Duration(r.IntN(3)) * time.Second,
		LoseAck:     p(),
		LoseLease:   p(),
		FailSettle:  p(),
		FailProduce: p(),
		FailReceive: p(),
		Reorder:     p(),
	}
}

func faultyHarness(seed uint64, opts ...memory.Option) channeltest.Harness {
	h := harness(append(opts, memory.WithFaults(badDay(seed)))...)
	h.Faulty, h.Bubble, h.Parallel, h.Crash, h.Seed = true, true, true, crash, seed
	h.Events = 160 // the many seeds count
	return h
}

// runsVariable is the environment variable that says with how many seeds TestFaults
// runs: make test sets it.
const runsVariable = "LEAT_FAULTS_RUNS"

// Whatever the seed, what the contract promises holds on a bad day.
func TestFaults(t *testing.T) {
	runs := 20
	if said := os.Getenv(runsVariable); said != "" {
		n, err := strconv.Atoi(said)
		require.NoError(t, err)
		runs = n
	}
	channeltest.RunSeeds(t, runs, func(seed uint64) channeltest.Harness { return faultyHarness(seed) })
}

// The suite as a whole leaves out what can't stand faults.
func TestFaultsConformance(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { channeltest.Run(t, faultyHarness(seed, memory.Encode())) })
	}
}

// The worst day: everything that can fail does, as often as it may.
func TestWorstFaults(t *testing.T) {
	channeltest.RunSeeds(t, 3, func(seed uint64) channeltest.Harness {
		h := faultyHarness(seed)
		h.Open = func(testing.TB) event.Channel {
			return crashing{memory.New(memory.Lease(lease), memory.WithFaults(memory.Faults{
				Seed: seed, Redeliver: 1, Delay: time.Second, LoseAck: 1, LoseLease: 1, FailSettle: 1, FailProduce: 1, FailReceive: 1, Reorder: 1,
			}))}
		}
		return h
	})
}
