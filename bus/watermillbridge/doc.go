// Package watermillbridge lets services on Watermill and on leat share a channel, so
// that a service moves over a handler at a time.
//
// [NewPublisher] and [NewSubscriber] make a Watermill Publisher and Subscriber of any
// leat channel: Watermill's Router, its middlewares and its cqrs run on them.
//
//	pub := watermillbridge.NewPublisher(channel, watermillbridge.PublisherConfig{})
//	sub := watermillbridge.NewSubscriber(channel, watermillbridge.SubscriberConfig{Group: "shop.mailer"})
//
// [NewChannel] makes a leat channel of any Watermill pub/sub, so that a Bus runs on
// brokers that leat has no engine for. The packages below this one have constructors for
// some of them, with settings that lose nothing; each links the library of its broker
// alone.
//
//	channel, err := bridgeamqp.New(bridgeamqp.Config{URI: "amqp://…"})
//	b := bus.New(bus.Config{App: "shop", Channel: channel})
//
// # A pub/sub as a channel
//
// What a pub/sub can be relied on for is declared in [PubSub], and is what the channel's
// Guarantees say. No pub/sub can delay events, give single deliveries back, count
// attempts, park keys or tell positions through Watermill's interfaces: retries wait in
// hand, and what waits holds up its subscription. [event.Guarantees].InHand says how many
// a member has in hand, that is how many subscriptions it has on a topic.
//
// Nothing is acknowledged before it is settled, and nothing is nacked to be retried. A
// dead letter is published to the topic T.G.dead of topic T and group G before the
// message is acknowledged. What is redriven, or produced to the group alone, goes
// through T.G.redrive, which every member of the group reads too: it comes beside what
// is newer, not ahead of it.
//
// Where a broker gives a message to somebody else after a time, whether its consumer
// lives or not, that time is [event.Guarantees].MaxHold: the bridge takes the delivery
// away then, before another has it in hand for long, and opens the subscription anew.
// A Bus refuses timeouts, retries and batches that need longer; Postpone and RetryAfter
// for longer come again after that time.
//
// Close gives back what was not begun, waits for the rest, and then 100 ms more, because
// Watermill doesn't tell when an acknowledgement has reached the broker: one that hasn't
// is a message that comes again, never one that is lost.
//
// Those who look at dead letters, by listing, redriving or discarding, read all of a
// group's on a topic and put them back: it takes a time in proportion to their number,
// and only one should look at a time. What a process held that was killed while it looked
// is missing from a listing until the broker gives it to somebody else, which takes
// [event.Guarantees].MaxHold at most where that is set.
//
// On the wire an event is a message with its data as payload and its attributes as
// metadata by the names of the CloudEvents binding for Kafka (ce_id, ce_type, …,
// content-type). [PubSub].Envelope puts all of it into the payload as CloudEvents JSON.
// [Encode] and [Decode] are the same for services on plain Watermill. A message that is
// neither is taken as below.
//
// # Messages and events
//
// A message's UUID is the event's id, its payload the data. Metadata and attributes are
// the same by these names:
//
//	ce_type, ce_source, ce_subject, ce_time, ce_datacontenttype, ce_dataschema   attributes
//	correlation_id                                                               correlationid
//	any other that is an extension's name (a-z and 0-9, 20 at most)              the extension
//
// What metadata has no such name travels as JSON in the extension watermill, and in
// watermill1, watermill2 and so on where it is longer than 8 KiB, and comes out as it
// went in, whatever its bytes. So do values that no attribute may have (empty, longer than
// 8 KiB, with control characters or no UTF-8), and what is more than an event has
// attributes: then those of package event and the first of the others by name stay
// extensions. All of it together has the limit of an event's attributes,
// [event.MaxAttributesBytes], 64 KiB: what is not UTF-8 makes all that travels so a third
// larger, and a line break takes two bytes, other control characters six. Publish refuses
// more with an error that says how much there is. An event keeps its type, source and time
// when a message is published again with its metadata, as Watermill's forwarding does.
//
// A message without a type is of the type that Watermill's cqrs calls its "name", else of
// that of its topic.
//
// # Order
//
// Watermill's messages have no key. Without PublisherConfig.Key all messages of a topic
// that have no partitionkey in their metadata have the same one: they come in order, one
// after the other, as Watermill's users expect of a topic. PublisherConfig.Unordered
// leaves them without a key.
//
// # Subscriptions
//
// A Subscribe is a member of the group: it has one message in hand, and the next comes
// after its Ack or Nack. More calls handle more in parallel. The message's context ends
// with its Ack or Nack, and when the channel gives it to another member. A Nack lets it
// come again, after SubscriberConfig.NackDelay, ahead of those behind it in its key.
//
// The end of Subscribe's context and Close let the message in hand be finished: they wait
// SubscriberConfig.CloseTimeout for its Ack. What isn't acknowledged by then comes again,
// here or at another member. Nothing that was acknowledged in time does.
package watermillbridge
