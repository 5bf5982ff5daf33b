package watermill

import (
	"context"
	"sync"
	"testing"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/components/cqrs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

type PlaceOrder struct{ ID string }

type OrderPlaced struct{ ID string }

// Watermill's cqrs runs on a channel of leat, and a handler of leat reads what it
// publishes.
func TestCQRS(t *testing.T) {
	ch := memory.New()
	log := watermill.NopLogger{}
	pub := watermillbridge.NewPublisher(ch, watermillbridge.PublisherConfig{})
	router, err := message.NewRouter(message.RouterConfig{}, log)
	require.NoError(t, err)
	router.AddMiddleware(middleware.CorrelationID)
	marshaler := cqrs.JSONMarshaler{GenerateName: cqrs.StructName}
	commands, err := cqrs.NewCommandBusWithConfig(pub, cqrs.CommandBusConfig{
		GeneratePublishTopic: func(p cqrs.CommandBusGeneratePublishTopicParams) (string, error) { return p.CommandName, nil },
		Marshaler:            marshaler,
		OnSend: func(p cqrs.CommandBusOnSendParams) error {
			middleware.SetCorrelationID("the conversation", p.Message)
			return nil
		},
	})
	require.NoError(t, err)
	events, err := cqrs.NewEventBusWithConfig(pub, cqrs.EventBusConfig{
		GeneratePublishTopic: func(p cqrs.GenerateEventPublishTopicParams) (string, error) { return p.EventName, nil },
		Marshaler:            marshaler,
		OnPublish: func(p cqrs.OnEventSendParams) error {
			p.Message.Metadata.Set("correlation_id", "the conversation")
			return nil
		},
	})
	require.NoError(t, err)
	processor, err := cqrs.NewCommandProcessorWithConfig(router, cqrs.CommandProcessorConfig{
		GenerateSubscribeTopic: func(p cqrs.CommandProcessorGenerateSubscribeTopicParams) (string, error) { return p.CommandName, nil },
		SubscriberConstructor: func(p cqrs.CommandProcessorSubscriberConstructorParams) (message.Subscriber, error) {
			return watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: p.HandlerName}), nil
		},
		Marshaler: marshaler,
	})
	require.NoError(t, err)
	require.NoError(t, processor.AddHandlers(cqrs.NewCommandHandler("place", func(ctx context.Context, c *PlaceOrder) error {
		return events.Publish(ctx, OrderPlaced(*c))
	})))

	placed := make(chan event.Event, 1)
	b := bus.New(bus.Config{App: "shop", Channel: ch, KeepChannel: true})
	bus.SubscribeRaw(b, "mailer", nil, func(_ context.Context, e event.Event) error { placed <- e; return nil }, bus.Topic("OrderPlaced"))
	require.NoError(t, b.Start(t.Context()))

	ctx, cancel := context.WithCancel(t.Context())
	var ran sync.WaitGroup
	ran.Go(func() { assert.NoError(t, router.Run(ctx)) })
	<-router.Running()
	require.NoError(t, commands.Send(t.Context(), PlaceOrder{"42"}))
	e := <-placed
	assert.Equal(t, "OrderPlaced", e.Type())
	assert.JSONEq(t, `{"ID":"42"}`, string(e.Data()))
	assert.Equal(t, "the conversation", e.Extension(event.ExtCorrelationID))
	cancel()
	ran.Wait()
	require.NoError(t, b.Shutdown(context.Background()))
	require.NoError(t, ch.Close(context.Background()))
}
