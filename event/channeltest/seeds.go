package channeltest

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

// SeedVariable is the environment variable that makes [RunSeeds] run one seed alone.
const SeedVariable = "LEAT_FAULTS_SEED"

// RunSeeds runs, on channels with faults inside, the cases that stand that with each
// seed from 1 to n, or with that of the environment variable LEAT_FAULTS_SEED alone.
// h returns the harness of a seed; RunSeeds sets its Faulty and Seed. A case is one
// subtest, which ends with the first seed that fails, and says so: "seed 7".
func RunSeeds(t *testing.T, n int, h func(seed uint64) Harness) {
	t.Helper()
	from, to := uint64(1), uint64(n)
	if said := os.Getenv(SeedVariable); said != "" {
		one, err := strconv.ParseUint(said, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", SeedVariable, err)
		}
		from, to = one, one
	}
	specOf := func(seed uint64) *spec {
		h := h(seed)
		h.Faulty, h.Seed = true, seed
		return &spec{Harness: h.withDefaults()}
	}
	first := specOf(from)
	first.bubble(t, func(t *testing.T) { first.declare(t) })
	if t.Failed() {
		return
	}
	ran := 0
	for _, topic := range suite() {
		for _, c := range topic.cases {
			if first.missing(c) != "" {
				continue
			}
			ran++
			t.Run(topic.name+"/"+c.name, func(t *testing.T) {
				if first.Parallel {
					t.Parallel()
				}
				for seed := from; seed <= to && !t.Failed(); seed++ {
					s := specOf(seed)
					s.Declaration = first.Declaration
					s.test(t, c)
				}
			})
		}
	}
	t.Logf("faults seeds %d to %d: %d cases each", from, to, ran)
}

// test runs a case in a test of its own.
func (s *spec) test(t *testing.T, c testCase) {
	t.Helper()
	defer func() { s.tellPanic(t, recover()) }() // of a bubble that is stuck
	s.bubble(t, func(t *testing.T) { runCase(t, s, c) })
}

// tellPanic tells the seed when a goroutine that calls a channel panics: nothing that
// was logged is printed any more. The panic goes on.
func (s *spec) tellPanic(t testing.TB, panicked any) {
	t.Helper()
	if panicked == nil {
		return
	}
	if s.Faulty {
		fmt.Fprintf(os.Stderr, "channeltest: %s: faults seed %d\n", t.Name(), s.Seed)
	}
	panic(panicked)
}
