// Package mailer is a small application: it mails the customer of each order. Its
// test shows how an application that uses leat is tested.
package mailer

import (
	"context"
	"fmt"
	"time"

	"github.com/leat-go/leat/bus"
)

// OrderPlaced happens elsewhere.
type OrderPlaced struct{ ID string }

// EventKey keeps what happens to one order in order.
func (e OrderPlaced) EventKey() string { return e.ID }

// MailSent tells that the customer was mailed.
type MailSent struct{ Order string }

// EventKey keeps what happens to one order in order.
func (e MailSent) EventKey() string { return e.Order }

// SMTP sends mails.
type SMTP interface {
	Send(ctx context.Context, subject string) error
}

// Register subscribes the mailer to orders. A mail that can't be sent is tried
// again for hours; MailSent goes out when, and only when, the mail did.
func Register(b *bus.Bus, smtp SMTP) {
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		if err := smtp.Send(ctx, "Your order "+e.ID); err != nil {
			return fmt.Errorf("mail for order %s: %w", e.ID, err)
		}
		return b.Publish(ctx, MailSent{Order: e.ID})
	}, bus.Retry(bus.Backoff{First: time.Minute, Max: time.Hour}))
}
