package bridgeredis_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more tests run side by side than there are cores: they wait for the
// server more than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run()) //nolint:forbidigo // a TestMain may
}
