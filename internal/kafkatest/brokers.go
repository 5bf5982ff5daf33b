package kafkatest

import (
	"strings"
	"testing"

	"github.com/leat-go/leat/internal/servicetest"
)

// Brokers returns the seeds of the Kafka that all tests share, which the variable
// LEAT_KAFKA names. Tests of other packages use it at the same time: use topics,
// groups and transactional ids of your own, and delete them in a Cleanup.
//
// Where LEAT_KAFKA isn't set the test is skipped; with LEAT_REQUIRE_SERVICES=1 it
// fails.
func Brokers(t testing.TB) []string {
	t.Helper()
	seeds := strings.Split(servicetest.Addr(t, "kafka"), ",")
	for i, seed := range seeds {
		seeds[i] = strings.TrimSpace(seed)
	}
	return seeds
}
