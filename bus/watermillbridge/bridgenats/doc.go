// Package bridgenats is NATS JetStream through Watermill's library (watermill-nats v2, on
// nats.go) as a leat channel: for services that have NATS and no other broker, or share
// streams with services on Watermill.
//
// # Topics
//
// A topic is a subject, and has a stream of its own that is made when it doesn't exist: on
// disk, without limits but [Config].Retention. Names of streams can't have dots: a dot is
// an underscore there, and what is not a letter, a digit or a hyphen is = and its
// hexadecimal digits, so that no two topics have the same. Topics that can't be subjects
// are refused: with blanks, * or >, or nothing between two dots.
//
// A stream that exists is taken as it is, if it has the subject and keeps what has been
// acknowledged (retention limits); its own limits remove events whether they were handled
// or not. An event is CloudEvents JSON in the payload, since NATS trims headers. What is
// too large for one message, the servers' max_payload, is too large for an event with 16
// KiB less.
//
// # Groups
//
// A group is a durable consumer of its name that begins where it is told to, with explicit
// acknowledgements and as many deliveries as it takes. Each subscription of a member has
// one event in hand, and asks for the next when that is settled. Without [Config].Ordered
// there is no order. With it a group handles one event of a topic at a time, however many
// members it has: the order is that of the stream, and one that waits for a retry holds up
// the topic.
//
// NATS gives a message to another member after the consumer's AckWait, whether its member
// lives or not. That is [Config].MaxHold and up to 5 s: so a member can't have anything
// in hand for longer than MaxHold, and its handler's context ends before anybody else has
// the event. What a member had in hand when it closed is given to others at once.
//
// A consumer or a stream that somebody removes is made again; the group begins at the
// earliest event then. One that exists gets the settings that are needed.
//
// # What is kept
//
// The publisher waits for the stream's acknowledgement. The server gives that before it
// has written to the disk: its sync_interval is two minutes unless configured to always. A
// crash of the process loses nothing, one of the machine what was not written, unless
// [Config].Replicas are on other machines.
//
// # What it sets
//
// Of the library's two packages this subscribes with pkg/jetstream, whose consumers ask for
// messages: those of pkg/nats are sent up to a thousand in advance, whose time runs while
// they wait. As it is, pkg/jetstream asks for 500; its consumers vanish 5 s after the last
// member, with the group's place; it panics when a message comes while a subscription
// ends, as pkg/nats may, and at a header with two values; it waits for ever when its
// consumer was removed; and hands a failed message out again at once, without end.
// Messages have no ids for the server to find duplicates by: a dead letter that is put back
// would be one.
package bridgenats
