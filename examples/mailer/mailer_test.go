package mailer_test

import (
	"context"
	"errors"
	"testing"

	"github.com/leat-go/leat/bus/bustest"
	"github.com/leat-go/leat/examples/mailer"
)

type (
	OrderPlaced = mailer.OrderPlaced
	MailSent    = mailer.MailSent
)

func TestOrderIsMailed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) { // memory channel, virtual time, recorder
		mailer.Register(b.Bus, &fakeSMTP{failFirst: 3})
		b.Publish(OrderPlaced{ID: "42"})
		b.Settle()                             // an hour of retries passes in no time
		bustest.Want(b, MailSent{Order: "42"}) // a failure prints the tree of what caused what
	})
}

func TestOrderThatCantBeMailed(t *testing.T) {
	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
		mailer.Register(b.Bus, &fakeSMTP{failFirst: 1000})
		b.Publish(OrderPlaced{ID: "42"})
		b.Settle()
		bustest.WantNone[MailSent](b)
		if dead := b.DeadLetters("mailer"); len(dead) != 1 || dead[0].Cause.Failures != 10 {
			t.Errorf("want one dead letter after 10 failures, got %+v", dead)
		}
	})
}

var errBusy = errors.New("450 mailbox busy")

type fakeSMTP struct{ failFirst int }

func (s *fakeSMTP) Send(context.Context, string) error {
	if s.failFirst > 0 {
		s.failFirst--
		return errBusy
	}
	return nil
}
