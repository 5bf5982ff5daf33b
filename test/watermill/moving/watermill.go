package moving

import (
	"context"
	"encoding/json"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
)

// OnWatermill is the service as it was: it mails the customer of each order, and
// publishes that it did.
func OnWatermill(sub message.Subscriber, pub message.Publisher, smtp SMTP) (*message.Router, error) {
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	poison, err := middleware.PoisonQueue(pub, "poison")
	if err != nil {
		return nil, err
	}
	router.AddMiddleware(poison, middleware.Retry{MaxRetries: 9, InitialInterval: time.Second}.Middleware, middleware.CorrelationID)
	router.AddHandler("mailer", "order-placed", sub, "mail-sent", pub, func(m *message.Message) ([]*message.Message, error) {
		var order OrderPlaced
		if err := json.Unmarshal(m.Payload, &order); err != nil {
			return nil, err
		}
		if err := smtp.Send(m.Context(), "Your order "+order.ID); err != nil {
			return nil, err
		}
		payload, err := json.Marshal(MailSent{Order: order.ID})
		if err != nil {
			return nil, err
		}
		return message.Messages{message.NewMessage(watermill.NewUUID(), payload)}, nil
	})
	return router, nil
}

// PlaceOnWatermill publishes an order.
func PlaceOnWatermill(_ context.Context, pub message.Publisher, order OrderPlaced) error {
	payload, err := json.Marshal(order)
	if err != nil {
		return err
	}
	return pub.Publish("order-placed", message.NewMessage(watermill.NewUUID(), payload))
}
