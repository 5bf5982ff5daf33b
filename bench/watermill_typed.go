package bench

import (
	"context"
	"errors"

	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

// openWatermillTyped starts Watermill's EventBus and EventProcessor with JSON, on a
// Router and a gochannel.
func openWatermillTyped(c gochannel.Config) (*Stream, error) {
	t := newTally()
	pubsub := gochannel.NewGoChannel(c, nil)
	router := message.NewDefaultRouter(nil)
	events, err := newEventBus(pubsub, router, cqrs.NewEventHandler("group", func(_ context.Context, o *Order) error {
		return t.order(o)
	}))
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	return &Stream{
		Run: func(n int) error {
			t.expect(n, false)
			for i := range n {
				o := newOrder(i)
				if err := events.Publish(ctx, &o); err != nil {
					return err
				}
			}
			return t.wait()
		},
		Close: func() error { return errors.Join(router.Close(), <-ended, pubsub.Close()) },
	}, nil
}

// newEventBus returns a bus whose events go to a handler. The topic is the name of
// the event.
func newEventBus(pubsub *gochannel.GoChannel, router *message.Router, h cqrs.EventHandler) (*cqrs.EventBus, error) {
	marshaler := cqrs.JSONMarshaler{}
	processor, err := cqrs.NewEventProcessorWithConfig(router, cqrs.EventProcessorConfig{
		GenerateSubscribeTopic: func(p cqrs.EventProcessorGenerateSubscribeTopicParams) (string, error) {
			return p.EventName, nil
		},
		SubscriberConstructor: func(cqrs.EventProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return pubsub, nil
		},
		Marshaler: marshaler,
	})
	if err != nil {
		return nil, err
	}
	if err := processor.AddHandlers(h); err != nil {
		return nil, err
	}
	return cqrs.NewEventBusWithConfig(pubsub, cqrs.EventBusConfig{
		GeneratePublishTopic: func(p cqrs.GenerateEventPublishTopicParams) (string, error) { return p.EventName, nil },
		Marshaler:            marshaler,
	})
}
