package bridgenats_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs the tests, or the process that alone starts. More tests run side by side
// than there are cores: they wait for the server more than they work.
func TestMain(m *testing.M) {
	if topic := os.Getenv(topicVariable); topic != "" {
		if err := serve(topic, os.Getenv("LEAT_NATS")); err != nil {
			panic(err)
		}
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(m.Run()) //nolint:forbidigo // a TestMain may
}
