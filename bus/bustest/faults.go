package bustest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// SeedVariable is the environment variable that chooses the seed of [Faults] that
// have none.
const SeedVariable = "LEAT_FAULTS_SEED"

// Faults gives the channel a bad day: events come again, late, in another order of
// keys; leases, acks and answers are lost. Whatever it is, the contract of channels
// permits it, and brokers do it. A handler that isn't idempotent is caught by it.
//
// When f.Seed is 0, each run has a seed of its own, or that of the environment
// variable LEAT_FAULTS_SEED. A test that fails prints its seed: "faults seed 7". In
// virtual time the same seed has the same day again, see [Bus.TraceHash].
//
// [Bus.Publish] publishes again what the faults refuse, as a careful publisher does.
func Faults(f memory.Faults) Option {
	return func(o *options) { o.faults = &badDay{Faults: f} }
}

// badDay is the faults of a run.
type badDay struct {
	memory.Faults

	told bool
}

// choose chooses the seed where the test names none.
func (f *badDay) choose() error {
	if f.Seed != 0 {
		return nil
	}
	if said := os.Getenv(SeedVariable); said != "" {
		n, err := strconv.ParseUint(said, 10, 64)
		if err != nil {
			return fmt.Errorf("bustest: %s: %w", SeedVariable, err)
		}
		f.Seed = n
		return nil
	}
	f.Seed = rand.Uint64N(1<<32) + 1
	return nil
}

// tell says, once, which faults a test had that failed. It goes on with its panic.
func (f *badDay) tell(t *testing.T, panicked any) {
	t.Helper()
	if f == nil {
		if panicked != nil {
			panic(panicked)
		}
		return
	}
	text := fmt.Sprintf("bustest: faults seed %d (%s=%d runs it again where the test names none)", f.Seed, SeedVariable, f.Seed)
	told := f.told
	f.told = told || panicked != nil || t.Failed()
	switch {
	case told || !f.told:
	case panicked != nil: // the log of a bubble is lost then
		fmt.Fprintln(os.Stderr, text)
	default:
		t.Log(text)
	}
	if panicked != nil {
		panic(panicked)
	}
}

type sentKey struct{}

// sent is the event of a publish, noted by the recorder, so that it can be published
// again with the same id.
type sent struct{ id string }

// publish publishes until the faults let it through: no event suffers more than a few.
func (b *Bus) publish(v any, opts []bus.PublishOption) error {
	s := &sent{}
	ctx := context.WithValue(b.t.Context(), sentKey{}, s)
	for {
		err := b.Bus.Publish(ctx, v, opts...)
		if !errors.Is(err, memory.ErrFault) {
			return err
		}
		if _, raw := v.(event.Event); !raw {
			opts = append(slices.Clip(opts), bus.ID(s.id))
		}
	}
}
