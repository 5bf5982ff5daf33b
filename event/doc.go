// Package event is the ground that leat stands on: the [Event], what handlers are
// and may answer, and the contract that an engine implements to become a [Channel].
// It knows no broker and starts no goroutine.
//
// # Events
//
// An [Event] carries the context attributes of CloudEvents 1.0.2 and data that leat
// never looks into. It is immutable: accessors read it, With… methods return a
// changed copy, and it may be shared freely. Ids are ULIDs ([NewID]), or derived
// from the event that caused it ([DerivedID]), so that a repeated handler publishes
// the same ids again. An invalid event is refused when it is published, encoded or
// decoded, by an [AttributeError] that names the attribute.
//
// # Encoded events
//
// [AppendJSON] and [ParseJSON] are the JSON format of CloudEvents (structured
// mode), [AppendHeaders] and [ParseHeaders] binary mode: headers beside the data.
// What one of a pair wrote the other reads as an equal event, with the same bytes
// of data. [Decoder] has the limits. They are checked against the official SDK of
// CloudEvents. Values of the application become data by a [Codec].
//
// # Handlers and verdicts
//
// A [Handler] returns nil when the event is handled. Other errors are failures and
// are retried, unless they are marked: [Permanent], [RetryAfter], [Postpone],
// [Reject]. [NewError] makes errors whose code travels to other processes.
//
// A handler's context tells what came with the event ([FromContext]), takes a
// result ([SetResult]) and functions for the outcome ([OnOutcome]), collects what
// is published under it ([Outbox]), and passes on conversation, cause, trace and
// tenant ([Inherit]). It ends when the delivery is no longer the handler's; its
// cause is then [ErrLeaseLost] or [ErrClosed].
//
// # Channels
//
// [Channel], [Producer] and [Consumer] are what an engine implements, small and
// batch-shaped: all policy lives above them. What an engine can do beyond that it
// says in [Guarantees] and by the interfaces of capability.go ([DeadLetters],
// [Census], [LagReporter], …). Package channeltest is the test of every promise.
//
// What is promised to everyone: an event for which Produce returned nil is owed to
// each group that existed on the topic then, and to no other; of a key, an event is
// first handed to a handler only after its predecessor was settled; what was
// delivered and not settled comes again.
package event
