package bustest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
)

// What a failure prints: what was wanted, what was published instead, and what
// caused what, in virtual time since the start of the test.
//
//nolint:dupword // it is printed so
const story = `bustest: want bustest_test.MailSent{Order:43} to be published
published bustest_test.MailSent:
  {Order:42}
what happened:
  0s order-placed key=customer-7 (order-42)
    0s mailer/order-placed attempt 1: retried: retry after 20m0s: 450 mailbox busy
    20m0s mailer/order-placed attempt 2: retried: retry after 20m0s: 450 mailbox busy
    40m0s mailer/order-placed attempt 3: acked
    40m0s mail-sent (d-AB77SV77K3148B7X96DN4N64X0)
`

// wrongMail is set in the process in which the test is to fail.
const wrongMail = "BUSTEST_WRONG_MAIL"

func TestWrongMail(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		register(b.Bus, busy(2))
		b.Publish(OrderPlaced{ID: "42"}, bus.ID("order-42"), bus.Key("customer-7"))
		b.Settle()
		if os.Getenv(wrongMail) != "" {
			bustest.Want(b, MailSent{Order: "43"}) // a failure prints the tree of what caused what
		}
	})
}

func TestFailurePrintsTheStory(t *testing.T) {
	test := exec.Command(os.Args[0], "-test.run=^TestWrongMail$")
	test.Env = append(os.Environ(), wrongMail+"=1")
	out, err := test.CombinedOutput()
	if err == nil {
		t.Fatal("the test that must fail passed")
	}
	if got := strings.ReplaceAll(string(out), "\n        ", "\n"); !strings.Contains(got, story) {
		t.Errorf("got:\n%s\nwant:\n%s", got, story)
	}
}
