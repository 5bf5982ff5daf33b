package kafkatest

import (
	"testing"

	"github.com/leat-go/leat/internal/servicetest"
)

// Long is [servicetest.Long].
func Long(t testing.TB) {
	t.Helper()
	servicetest.Long(t)
}
