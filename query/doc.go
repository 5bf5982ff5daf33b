// Package query is the read side of an application: a query asks for what somebody knows, is
// answered at once, by exactly one handler, and changes nothing.
//
// # Usage
//
//	query.Handle(b, func(ctx context.Context, q GetOrder) (Order, error) { … })
//	o, err := query.Ask[Order](ctx, b, GetOrder{ID: "42"})
//	for o, err := range query.Watch[Order](ctx, b, GetOrder{ID: "42"}) { … }
//
// [Ask] calls the handler of its own Bus, or asks over the channel; [AskAll] asks every
// application that handles the type. [Watch] and [Stream] go on with each change of the answer,
// [Cache] keeps answers. [Project] keeps what is asked for: a read model, from events.
//
// # In process
//
// Where the Bus itself handles the type, Ask is a call: in the caller's goroutine, under its
// context, with the values as they are. They are shared, not copied: neither side changes what
// both have. Nothing is encoded and nothing allocated. With middlewares of package event around
// the handler, or with hooks for attempts, query and answer are encoded, so that these see them.
//
// # Over the channel
//
// A query is an event on the topic of its type, and says where the answer goes: to the one inbox
// that a Bus has for all it asks (package bus/request). It says until when: that is the deadline of
// the handler's context, and a query that comes later isn't handled. The group is
// named after App and type, so that the processes of an application share its queries. An
// answer is sent at most as often as the query is delivered; the first counts. Late ones and
// those that come again are dropped and counted: [StatsOf].
//
// Clocks of processes that ask each other have to agree as well as deadlines are
// short: who is ahead takes queries for late.
//
// # Answers and failures
//
// An [event.NewError] that a handler returns is its answer: who asked gets it, with code, message
// and details, to be compared by errors.Is in another process too. Any other error is an answer
// too, without its text: [ErrFailed], or [ErrTimedOut] for a handler with a [bus.Timeout], and
// [ErrInvalid] for what the handler can't read. Who asked decides whether to ask again: nothing
// is tried again and nothing becomes a dead letter. But an [event.Postpone] lets the query wait.
//
// Who asks gets an answer or an error by its deadline, whatever becomes of the others. Where the
// channel knows its groups ([event.Census]) [ErrNoHandler] comes earlier: at once when there has never been a
// handler, and within seconds when all members are gone, also while somebody waits. A
// process that was killed is a member until its session, or lease, is over.
//
// # What is asked is read
//
// [Changed] and [ChangedBy] tell which answers are old. They are told by events, like all else: each
// Bus that watches or caches queries of a type hears them by a subscription of its own. Where a change
// could have been missed, everything of the type counts as changed.
//
// # Goroutines
//
// Those of the groups that handle queries ([bus.Workers]: 32 for each type unless said
// otherwise); one for the inbox of the Bus, and one more while somebody waits for an answer; one
// for each type that is watched or cached; and those of [Projection.Rebuild]. There is none for a
// query, and none for a watcher. All end with Shutdown.
//
// # What is not promised
//
//   - That a query is handled once: it may be delivered again.
//   - The order of queries.
//   - That an answer is newer than the last write: see [Projection.Wait].
//   - That a call in process is waited for by Shutdown: it is the caller's.
package query
