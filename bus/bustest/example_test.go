package bustest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/event"
)

// OrderPlaced and MailSent are the messages of the application under test.
type (
	OrderPlaced struct{ ID string }
	MailSent    struct{ Order string }
)

// register is the application under test: it sends mails and tells of them.
func register(b *bus.Bus, send func(order string) error) {
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		if err := send(e.ID); err != nil {
			return err
		}
		return b.Publish(ctx, MailSent{Order: e.ID})
	})
}

// busy is a mail server that refuses the first n mails, and asks for patience.
func busy(n int) func(order string) error {
	return func(string) error {
		if n--; n >= 0 {
			return event.RetryAfter(20*time.Minute, errors.New("450 mailbox busy"))
		}
		return nil
	}
}

func TestOrderIsMailed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		register(b.Bus, busy(3))
		b.Publish(OrderPlaced{ID: "42"})
		b.Settle() // an hour of retries passes in no time
		bustest.Want(b, MailSent{Order: "42"})
	})
}

func TestLateMail(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		register(b.Bus, busy(0))
		b.Publish(OrderPlaced{ID: "42"}, bus.Delay(24*time.Hour))
		bustest.WantNone[MailSent](b)
		time.Sleep(23 * time.Hour) // virtual
		bustest.WantNone[MailSent](b)
		b.Settle()
		bustest.Want(b, MailSent{Order: "42"})
	})
}

func TestMailThatIsRefusedAndRedriven(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		refuse := true
		register(b.Bus, func(string) error {
			if refuse {
				return event.Permanent(errors.New("550 no such user"))
			}
			return nil
		})
		b.Publish(OrderPlaced{ID: "42"})
		b.Settle()
		bustest.WantNone[MailSent](b)

		refuse = false
		dead := b.DeadLetters("mailer")
		if len(dead) != 1 || dead[0].Cause.Text != "permanent: 550 no such user" {
			t.Fatalf("dead letters: %+v", dead)
		}
		if err := b.Redrive(t.Context(), dead[0]); err != nil {
			t.Fatal(err)
		}
		b.Settle()
		bustest.Want(b, MailSent{Order: "42"})
	})
}

// RealTime is for handlers that talk to a real server: in a bubble that would hang.
func TestOrderIsMailedInRealTime(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		register(b.Bus, busy(0))
		b.Publish(OrderPlaced{ID: "42"})
		b.Settle()
		bustest.Want(b, MailSent{Order: "42"})
	}, bustest.RealTime())
}
