package bustest_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// Deposited puts money into an account.
type Deposited struct {
	Account string
	Amount  int
}

// account is the balance, and which deposits are in it.
type account struct {
	balance int
	in      map[string]bool
}

// naive adds each deposit that comes: one that comes again counts again.
func (a *account) naive(_ context.Context, d Deposited) error {
	a.balance += d.Amount
	return nil
}

// careful knows by its id which deposit it has.
func (a *account) careful(ctx context.Context, d Deposited) error {
	info, _ := event.FromContext(ctx)
	if id := info.Event.Source() + " " + info.Event.ID(); !a.in[id] {
		a.in[id] = true
		a.balance += d.Amount
	}
	return nil
}

// deposits tests a handler on a bad day.
func deposits(t *testing.T, handle func(a *account) func(context.Context, Deposited) error) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		a := &account{in: map[string]bool{}}
		bus.Subscribe(b.Bus, "accounts", handle(a))
		for range 10 {
			b.Publish(Deposited{Account: "42", Amount: 5})
		}
		b.Settle()
		if a.balance != 50 {
			t.Errorf("the balance is %d, want 50", a.balance)
		}
	}, bustest.Faults(memory.Faults{Seed: 7, Redeliver: 0.2, Delay: time.Second, LoseAck: 0.1}))
}

// A handler that is idempotent survives.
func TestCarefulDeposits(t *testing.T) {
	deposits(t, func(a *account) func(context.Context, Deposited) error { return a.careful })
}

// naiveDeposits is set in the process in which the test of the naive handler fails.
const naiveDeposits = "BUSTEST_NAIVE_DEPOSITS"

// One that isn't is caught.
func TestNaiveDeposits(t *testing.T) {
	if os.Getenv(naiveDeposits) == "" {
		return
	}
	deposits(t, func(a *account) func(context.Context, Deposited) error { return a.naive })
}

func ExampleFaults() {
	// go test -run TestNaiveDeposits: the handler of this test adds up what comes.
	test := exec.Command(os.Args[0], "-test.run=^TestNaiveDeposits$")
	test.Env = append(os.Environ(), naiveDeposits+"=1")
	out, _ := test.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if _, text, ok := strings.Cut(line, "_test.go:"); ok {
			_, text, _ = strings.Cut(text, ": ")
			fmt.Print(text)
		}
		if _, text, ok := strings.Cut(line, "bustest: "); ok {
			fmt.Print(text)
		}
	}
	// Output:
	// the balance is 90, want 50
	// faults seed 7 (LEAT_FAULTS_SEED=7 runs it again where the test names none)
}
