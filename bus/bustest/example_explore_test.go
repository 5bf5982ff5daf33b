package bustest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

// mails is a mail server: what it has sent, it has sent.
type mails struct {
	sent map[string]int
	seen map[string]bool
}

// send sends a mail and then notes that it did. A process that dies between the two
// sends another.
func (m *mails) send(ctx context.Context, user string) error {
	if m.seen[idOf(ctx)] {
		return nil
	}
	m.sent[user]++
	bustest.Step(ctx, "sent") // the place where it can die
	m.seen[idOf(ctx)] = true
	return nil
}

// signups is an application, what is published to it, and what must be so at the end.
func signups(w *bustest.World) {
	m := &mails{sent: map[string]int{}, seen: map[string]bool{}}
	w.Handlers(func(b *bus.Bus) {
		bus.Subscribe(b, "accounts", func(ctx context.Context, s Signup) error {
			return b.Publish(ctx, Welcome(s))
		})
		bus.Subscribe(b, "mailer", func(ctx context.Context, wc Welcome) error {
			return m.send(ctx, wc.User)
		})
	})
	w.Publish(Signup{"ada"})
	w.Publish(Signup{"bob"})
	w.State(func() any { return m.sent })
}

// What Explore prints: what is wrong, the shortest story in which it is, how to run
// that again, and what caused what.
const exploreStory = `bustest: the final state differs from that of the undisturbed run:
  map[ada:2]
  undisturbed: map[ada:1]
  published message-1: bustest_test.Signup{User:ada}
  1. 0s process 1: group "accounts" handles signup message-1, attempt 1: returns nil
  2. 0s process 1: group "mailer" handles welcome d-1ZJBJSFQ…, attempt 1, up to step "sent"
  3. 0s process 1 dies, with welcome d-1ZJBJSFQ… not settled
  4. 0s process 2: group "mailer" handles welcome d-1ZJBJSFQ…, attempt 2: returns nil
again: bustest.Seed(1), bustest.Only(27)
this alone: bustest.Replay("skip/2 go/1/1/welcome:d-1ZJBJSFQE89ZZWAX5R6RNPK3FG/step:sent=die/1")
what happened:
  0s signup (message-1)
    0s accounts/signup attempt 1: acked
    0s welcome (d-1ZJBJSFQE89ZZWAX5R6RNPK3FG)
      0s mailer/welcome attempt 1: process 1 dies at step "sent"
      0s mailer/welcome attempt 2: acked
`

// doubleMail is set in the process in which the test is to fail.
const doubleMail = "BUSTEST_DOUBLE_MAIL"

func TestWelcomeMails(t *testing.T) {
	if os.Getenv(doubleMail) != "" {
		bustest.Explore(t, signups)
	}
}

func TestExplorePrintsTheStory(t *testing.T) {
	test := exec.Command(os.Args[0], "-test.run=^TestWelcomeMails$")
	test.Env = append(os.Environ(), doubleMail+"=1")
	out, err := test.CombinedOutput()
	if err == nil {
		t.Fatal("the test that must fail passed")
	}
	if got := strings.ReplaceAll(string(out), "\n        ", "\n"); !strings.Contains(got, exploreStory) {
		t.Errorf("got:\n%s\nwant:\n%s", got, exploreStory)
	}
}
