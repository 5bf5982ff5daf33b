package moving

import (
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// Between returns a publisher and a subscriber for the service as it was, on a channel
// of leat. What it publishes is of the types that leat's handlers wait for.
func Between(channel event.Channel) (message.Publisher, message.Subscriber) {
	pub := watermillbridge.NewPublisher(channel, watermillbridge.PublisherConfig{Source: "/shop"})
	sub := watermillbridge.NewSubscriber(channel, watermillbridge.SubscriberConfig{Group: "shop.mailer"})
	return pub, sub
}
