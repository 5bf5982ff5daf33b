package bridgeaws_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs as many tests side by side as wait for the server, not for a processor.
func TestMain(m *testing.M) {
	flag.Parse()
	set := false
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == "test.parallel" })
	if !set {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run()) //nolint:forbidigo // a TestMain may
}
