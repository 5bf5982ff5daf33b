package bridgenats_test

import (
	"os"
	"testing"
)

// addr returns where the server is that all tests share.
func addr(tb testing.TB) string {
	tb.Helper()
	a := os.Getenv("LEAT_NATS")
	switch {
	case a != "":
	case os.Getenv("LEAT_REQUIRE_SERVICES") == "1":
		tb.Fatal("LEAT_NATS is not set")
	default:
		tb.Skip("LEAT_NATS is not set")
	}
	return a
}
