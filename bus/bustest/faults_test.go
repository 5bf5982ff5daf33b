package bustest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Step is handled, and followed by the next of its chain in another topic.
type Step struct {
	Chain string
	Left  int
}

// Done is the end of a chain.
type Done struct{ Chain string }

// EventKey is the chain, so that steps of one are in order.
func (s Step) EventKey() string { return s.Chain }

var errNotYet = errors.New("not yet")

// chains is an application with everything in it: retries, publishes in handlers,
// keys, several groups.
func chains(b *bus.Bus, workers int) {
	bus.Subscribe(b, "steps", func(ctx context.Context, s Step) error {
		info, _ := event.FromContext(ctx)
		if info.Failures < s.Left%3 {
			return errNotYet
		}
		if s.Left == 0 {
			return b.Publish(ctx, Done{s.Chain})
		}
		return b.Publish(ctx, Step{s.Chain, s.Left - 1})
	}, bus.Workers(workers))
	bus.Subscribe(b, "audit", func(ctx context.Context, s Step) error {
		if info, _ := event.FromContext(ctx); s.Left == 2 && info.Failures == 0 {
			return event.Permanent(errNotYet)
		}
		return nil
	}, bus.Workers(workers))
	bus.Subscribe(b, "ends", func(context.Context, Done) error { return nil }, bus.Workers(workers))
}

// badDay is a day of all kinds of faults.
func badDay(seed uint64) bustest.Option {
	return bustest.Faults(memory.Faults{
		Seed: seed, Redeliver: 0.2, Delay: time.Second, LoseAck: 0.1, LoseLease: 0.2,
		FailSettle: 0.2, FailProduce: 0.2, FailReceive: 0.1, Reorder: 0.3,
	})
}

func traceOf(t *testing.T, seed uint64, workers int) (hash, trace string) {
	t.Helper()
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		chains(b.Bus, workers)
		for i := range 4 {
			b.Publish(Step{fmt.Sprint("chain-", i), 3})
		}
		b.Settle()
		hash, trace = b.TraceHash(), b.Trace()
		for i := range 4 {
			if !strings.Contains(trace, "settled by ends") {
				t.Errorf("chain %d did not come to its end", i)
			}
		}
	}, badDay(seed))
	return hash, trace
}

// runsVariable is the environment variable that says with how many seeds tests of
// faults run.
const runsVariable = "LEAT_FAULTS_RUNS"

// The same seed has the same run again, on any number of workers.
func TestSeedReplaysTheRun(t *testing.T) {
	seeds := 50
	if said := os.Getenv(runsVariable); said != "" {
		n, err := strconv.Atoi(said)
		if err != nil {
			t.Fatal(err)
		}
		seeds = n
	}
	hashes := map[string]bool{}
	for seed := uint64(1); seed <= uint64(seeds); seed++ {
		hash, trace := traceOf(t, seed, 1)
		for _, workers := range []int{1, 8} {
			again, other := traceOf(t, seed, workers)
			if again != hash {
				t.Fatalf("seed %d, %d workers: %s", seed, workers, difference(trace, other))
			}
		}
		hashes[hash] = true
	}
	if len(hashes) < seeds*9/10 {
		t.Errorf("%d seeds had only %d different runs", seeds, len(hashes))
	}
}

// printing is set in the process that prints the hash of a run.
const printing = "BUSTEST_PRINTING"

// The same seed has the same run in another process, too.
func TestSeedReplaysTheRunElsewhere(t *testing.T) {
	hash, _ := traceOf(t, 1, 4)
	if os.Getenv(printing) != "" {
		_, _ = os.Stdout.WriteString("hash " + hash + "\n")
		return
	}
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSeedReplaysTheRunElsewhere$")
	test.Env = append(os.Environ(), printing+"=1")
	out, err := test.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "hash "+hash) {
		t.Errorf("want %s: %v\n%s", hash, err, out)
	}
}

// difference returns what is in one trace alone.
func difference(a, b string) string {
	count := map[string]int{}
	for l := range strings.SplitSeq(a, "\n") {
		count[l]++
	}
	for l := range strings.SplitSeq(b, "\n") {
		count[l]--
	}
	var sb strings.Builder
	for l := range strings.SplitSeq(a+"\n"+b, "\n") {
		if count[l] != 0 {
			fmt.Fprintf(&sb, "\n%+d %s", count[l], l)
			count[l] = 0
		}
	}
	return sb.String()
}

// failing is set in the process in which tests are to fail.
const failing = "BUSTEST_FAILING"

func TestFailsWithFaults(t *testing.T) {
	how := os.Getenv(failing)
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		bus.Subscribe(b.Bus, "ends", func(context.Context, Done) error { return nil })
		b.Publish(Done{"a"})
		b.Settle()
		switch how {
		case "want":
			bustest.Want(b, Done{"b"})
		case "own":
			t.Error("a failure of the test's own")
		case "panic":
			panic("out of cheese")
		case "stuck":
			<-make(chan int)
		}
	}, bustest.Faults(memory.Faults{Redeliver: 0.5}))
}

// Whatever way a test fails, it prints the seed once; and the variable chooses it.
func TestFailurePrintsTheSeed(t *testing.T) {
	for how, says := range map[string]string{
		"want": "want bustest_test.Done{Chain:b}", "own": "of the test's own", "panic": "panic: out of cheese", "stuck": "deadlock",
	} {
		test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailsWithFaults$")
		test.Env = append(os.Environ(), failing+"="+how, bustest.SeedVariable+"=4711")
		out, err := test.CombinedOutput()
		if err == nil || strings.Count(string(out), "faults seed 4711 ") != 1 || !strings.Contains(string(out), says) {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
	}
}

// A variable that is no number is an error, and no other seed.
func TestBadSeedVariable(t *testing.T) {
	test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFailsWithFaults$")
	test.Env = append(os.Environ(), bustest.SeedVariable+"=seven")
	out, err := test.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "LEAT_FAULTS_SEED") {
		t.Errorf("%v\n%s", err, out)
	}
}
