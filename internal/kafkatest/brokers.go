package kafkatest

import (
	"os"
	"strings"
	"testing"
)

// Brokers returns the seeds of the Kafka that all tests share, which the variable
// LEAT_KAFKA names. Tests of other packages use it at the same time: use topics,
// groups and transactional ids of your own, and delete them in a Cleanup.
//
// Where LEAT_KAFKA isn't set the test is skipped; with LEAT_REQUIRE_SERVICES=1 it
// fails.
func Brokers(t testing.TB) []string {
	t.Helper()
	var seeds []string
	for seed := range strings.SplitSeq(os.Getenv("LEAT_KAFKA"), ",") {
		if seed = strings.TrimSpace(seed); seed != "" {
			seeds = append(seeds, seed)
		}
	}
	if len(seeds) == 0 {
		missing(t, `NO KAFKA: LEAT_KAFKA is not set. Run: eval "$(test/services/up kafka)"`)
	}
	return seeds
}

// missing ends a test that needs what isn't there.
func missing(t testing.TB, why string) {
	t.Helper()
	if os.Getenv("LEAT_REQUIRE_SERVICES") == "1" {
		t.Fatal(why + " (LEAT_REQUIRE_SERVICES=1)")
	}
	t.Skip(why)
}
