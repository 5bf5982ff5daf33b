// Package watermillbridge lets services on Watermill and on leat share a channel, so
// that a service moves over a handler at a time.
//
// [NewPublisher] and [NewSubscriber] make a Watermill Publisher and Subscriber of any
// leat channel: Watermill's Router, its middlewares and its cqrs run on them.
//
//	pub := watermillbridge.NewPublisher(channel, watermillbridge.PublisherConfig{})
//	sub := watermillbridge.NewSubscriber(channel, watermillbridge.SubscriberConfig{Group: "shop.mailer"})
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
// What metadata has no such name travels in one extension more, as JSON, and comes out
// as it went in. So does an empty value, which no attribute may have. An event keeps its
// type, source and time when a message is published again with its metadata, as
// Watermill's forwarding does.
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
