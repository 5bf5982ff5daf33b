// Package command sends requests to change state to the one who changes it: a command has
// exactly one handler, runs somewhere, later, and ends with an answer.
//
// # Usage
//
//	command.Handle(b, func(ctx context.Context, c PlaceOrder) error { … })
//	command.HandleResult(b, func(ctx context.Context, c PlaceOrder) (Receipt, error) { … })
//	id, err := command.Send(ctx, b, PlaceOrder{…})            // accepted; runs somewhere, later
//	r, err := command.Do[Receipt](ctx, b, PlaceOrder{…})      // waits for the outcome
//
// A command is a message as any other: its name, key and encoding are those that the Bus
// gives it. It has a topic of its own, named after its type.
//
// [Use] says what is kept beside the channel: operations, which say what became of each
// command, payloads that are too large for the channel, and who is told.
//
// # Who runs it
//
// One handler: the group is named after the type, without the application, so that every
// Bus that handles the type is a member, and each command is run by one of them. A second
// handler on a Bus is a mistake that Start reports. An event of another type on
// the topic becomes a dead letter.
//
// # Answers and failures
//
// An [event.NewError] that a handler returns is its answer: the command has failed, it isn't
// tried again, and whoever asked gets the error, with code, message and details, to be
// compared by errors.Is in another process too. Anything else is a failure: tried
// again, and at last a dead letter. What others learn of that is the code "failed"; the
// error's text is in the dead letter.
//
// # Without a channel
//
// On a Bus without a channel [Do] calls the handler, with all that is around it, in the
// caller's goroutine: for tests, and for programs of one process. There are no retries and
// no dead letters then, and Send is an error.
//
// # What is promised
//
// A command for which Send returned nil is run, or it has expired, was cancelled, or stands
// in the dead letters. It is run at least once: an idempotency middleware
// ([bus.With]) makes that one effect. What a handler has succeeded with, or has
// answered, isn't run again once its operation says so.
//
// In this order: the handler runs; what it published goes out; the operation gets its state;
// the answer is sent to who waits; that it is over is published for notifiers; the delivery is
// acknowledged; the payload is removed. Where the process ends in between, the command comes
// again, and goes on with what is missing: so an answer, and what
// notifiers are told, can come twice. Where a store doesn't answer, the command waits.
//
// An operation has the id of its command, and there is one of an id: a command of another type or
// another tenant by the same id is refused, and a dead letter where a handler has sent it.
//
// The payload of a command that failed stays until it expires, for who drives it again.
//
// # Gateway
//
// [Gateway] is a [net/http.Handler] by which commands come in over HTTP: those that [Expose]
// names, from whom an [Authorizer] lets pass, and nothing else.
//
//	POST   /commands/{type}          202 with a Location; the body is the command as JSON
//	GET    /operations/{id}          the operation; 303 to its result, where it has one
//	GET    /operations/{id}/result   the outcome: 200 with the result, 204 without, or a problem
//	GET    /operations/{id}/events   the operation as it changes: server-sent events
//	DELETE /operations/{id}          cancels it, unless a handler is at work (409)
//
// What is refused is a problem (RFC 9457) with a code for programs; it names places in a body, and
// quotes nothing. 401, 403: see [Authorizer]. 400: the body isn't the command, once and whole, in
// JSON; or the Idempotency-Key isn't one. 404: there is nothing. 405, 413 and 415 tell
// what would be taken. 503, with Retry-After: the channel, a store or a handler isn't there, or
// is full.
//
// With "Prefer: wait=10" a POST waits for the outcome, and answers as if the command had been
// done at once: as result does. When the time is over it answers 202. A command that failed has the
// status that [GatewayConfig].ProblemStatus gives its code: 422 for an answer of its handler, for
// one that has expired or was cancelled, and 500 for "failed", of which nothing else is told.
//
// With an Idempotency-Key a request can be repeated, through any process: the key is one of a
// subject, a tenant and a type of command, for as long as the store remembers its operation. The
// same body, byte by byte, has the operation of the first request, and 202 or its outcome.
// Another body gets 422. While the first is on its way to the channel the others get 409; when it
// failed, the next is sent at once; when nothing is heard of it for three times SendTimeout, too.
// That can send a command twice, by the same id. When the operation is forgotten the key gets 410,
// and later, when the store has forgotten that too, it is new.
//
// An operation is shown to the subject that has sent it, for its tenant. Every other id gets the
// same 404, whether the operation is somebody else's, was never there, or couldn't be. 410, for
// one that is kept no longer, is for its owner alone: the ids that a gateway makes end with a mark
// that follows from id, subject and tenant. The mark is no secret and opens nothing. Ids that
// others have made get 404 then.
//
// A stream begins with the operation as it is and has an event for what it becomes, the version as
// its id; who is slow misses versions in between, and never the last. It ends after the final
// state, when the Principal expires, when the client leaves what is sent unread for WriteTimeout,
// with the request's context, and with the Bus. Who comes again, with Last-Event-ID or
// ?lastEventId, gets what it has not seen, and 204 if that is nothing and nothing follows: then an
// EventSource stops. Each stream is the goroutine of its request and no other. A middleware around
// the gateway has to let [net/http.ResponseController] through.
//
// # What is not promised
//
//   - That a command whose answer nobody got wasn't run: see [Do].
//   - The order of commands without a key.
//   - The state of a command that the channel itself makes a dead letter, at its limit of
//     deliveries: its operation stays as it was.
package command
