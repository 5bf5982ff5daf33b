package servicetest

import (
	"os"
	"testing"
)

// Long skips a test that takes a minute or more on a real server where LEAT_LONG is 0:
// the second of two runs, say, that differ in the toolchain alone.
func Long(t testing.TB) {
	t.Helper()
	if os.Getenv("LEAT_LONG") == "0" {
		t.Skip("LEAT_LONG is 0")
	}
}
