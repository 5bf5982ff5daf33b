package bridgeredis_test

import (
	"os"
	"testing"
)

// addr returns where the server is that all tests share.
func addr(tb testing.TB) string {
	tb.Helper()
	a := os.Getenv("LEAT_REDIS")
	switch {
	case a != "":
	case os.Getenv("LEAT_REQUIRE_SERVICES") == "1":
		tb.Fatal("LEAT_REDIS is not set")
	default:
		tb.Skip("LEAT_REDIS is not set")
	}
	return a
}
