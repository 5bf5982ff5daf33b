// Package moving is a small service on Watermill, the same service on leat, and
// what stands between them while it moves. docs/from-watermill.md tells the story.
package moving

import (
	"context"

	"github.com/leat-go/leat/bus"
)

// OrderPlaced happens elsewhere.
type OrderPlaced struct {
	ID string `json:"id"`
}

// EventKey keeps what happens to one order in order.
func (e OrderPlaced) EventKey() string { return e.ID }

// MailSent tells that the customer was mailed.
type MailSent struct {
	Order string `json:"order"`
}

// SMTP sends mails.
type SMTP interface {
	Send(ctx context.Context, subject string) error
}

// OnLeat is the service as it is then.
func OnLeat(b *bus.Bus, smtp SMTP) {
	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error {
		if err := smtp.Send(ctx, "Your order "+e.ID); err != nil {
			return err
		}
		return b.Publish(ctx, MailSent{Order: e.ID})
	})
}

// Place publishes an order.
func Place(ctx context.Context, b *bus.Bus, order OrderPlaced) error {
	return b.Publish(ctx, order)
}
