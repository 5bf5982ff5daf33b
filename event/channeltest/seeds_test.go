package channeltest

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

// broken is set in the process in which a channel with faults is broken besides.
const broken = "CHANNELTEST_BROKEN"

// panics is a channel whose Receive panics after a while.
func panics() fault {
	return fault{consumer: func(_ *faulty, c *faultyConsumer) {
		c.receive = func(context.Context, []event.Delivery) (int, error) { panic("out of cheese") }
	}}
}

// hangs is a channel whose Close never returns.
func hangs() fault {
	return fault{closeChannel: func(f *faulty, _ context.Context) error {
		<-f.released
		return nil
	}}
}

func TestSeeds(t *testing.T) {
	var ft fault
	switch os.Getenv(broken) {
	case "loses":
		ft = mutantOf(t, "loses every 7th event").fault
	case "reorders":
		ft = mutantOf(t, "reorders a key within a call").fault
	case "hangs":
		ft = hangs()
	case "panics":
		ft = panics()
	}
	ran := map[uint64]bool{}
	RunSeeds(t, 5, func(seed uint64) Harness {
		ran[seed] = true
		h := faultyHarness(ft, badDay(seed))
		h.Events = 200
		return h
	})
	if os.Getenv(SeedVariable) == "" {
		require.Len(t, ran, 5)
	} else {
		require.Len(t, ran, 1)
	}
}

// What fails in a run of seeds says what is broken and the seed, and the variable
// runs that seed alone.
func TestSeedsOfBrokenChannels(t *testing.T) {
	for how, says := range map[string]string{
		"loses":    `it lacks`,
		"reorders": `of key .* which it comes before|is owed first`,
		"hangs":    `Channel.Close did not return`,
		"panics":   `panic: out of cheese`,
	} {
		t.Run(how, func(t *testing.T) {
			test := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSeeds$")
			test.Env = append(os.Environ(), broken+"="+how, SeedVariable+"=4711")
			out, err := test.CombinedOutput()
			require.Error(t, err)
			require.Regexp(t, says, string(out))
			require.Contains(t, string(out), "seed 4711")
		})
	}
}
