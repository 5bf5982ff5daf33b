// Package bridgeamqp makes channels on RabbitMQ, by watermill-amqp and with settings that
// lose nothing.
//
//	channel, err := bridgeamqp.New(bridgeamqp.Config{URI: "amqp://user:password@rabbitmq/shop"})
//	b := bus.New(bus.Config{App: "shop", Channel: channel})
//
// # On the broker
//
// A topic is a durable fanout exchange of its name, a group G on a topic T the durable
// queue T_G. They are those that watermill-amqp's NewDurablePubSubConfig makes with
// GenerateQueueNameTopicNameWithSuffix("G"), so that services on Watermill alone share
// them. The topics T.G.dead and T.G.redrive of the bridge have an exchange and a queue
// each besides. They exist when the first member of the group has joined: RabbitMQ
// confirms what no queue is bound for, and drops it. So a topic that has no group takes
// what it is given, and nobody gets it later. Names are at most 255 bytes, queues'
// included.
//
// Queues are not made otherwise than that: policies of the broker that let messages
// expire, or bound a queue and drop what is beyond, lose messages. An exchange that
// somebody removes is an error of every publish until a member joins anew.
//
// Messages are persistent. Their metadata are headers; where it is more than 64 KiB, or
// has names of more than 255 bytes, it comes before the payload as JSON.
//
// # Publishing
//
// A publish returns when the broker has confirmed it. It waits for 30 s for a broker that
// is away, and is repeated when the connection was lost in between: the broker may have
// it twice then. Publishers share a connection, and channels of which each is one
// publish's at a time.
//
// # Subscribing
//
// Each member has a connection. A subscription takes one message at a time from the
// broker (prefetch 1), and there are Config.Subscriptions of them on each topic. What is
// in hand when the connection is lost is another's: the contexts of the handlers end with
// [event.ErrLeaseLost]. Without Config.Ordered the subscriptions and members of a group
// overtake each other.
//
// Ephemeral subscriptions have a queue that is exclusive to their connection. They miss
// what is published while that is lost.
package bridgeamqp
