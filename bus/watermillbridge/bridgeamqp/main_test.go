package bridgeamqp_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets many cases of the suite run side by side: on a broker they wait more
// than they work.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run()) //nolint:forbidigo // a TestMain may
}
