// Package bus is the runtime of leat: it publishes typed events to a channel and
// hands those of the channel to typed handlers.
//
// # Usage
//
// [New] makes a [Bus] on a channel. [Subscribe], [SubscribeBatch] and [SubscribeRaw]
// add handlers to groups. [Bus.Start] checks everything and lets them run;
// [Bus.Publish] and [Bus.PublishAll] publish from then on. [Bus.Run] starts, serves
// until its context ends and shuts down; [Bus.Drain] handles everything that is owed
// and stops.
//
//	b := bus.New(bus.Config{Channel: memory.New()})
//	bus.Subscribe(b, "mailer", func(ctx context.Context, e OrderPlaced) error { … })
//	err := b.Run(ctx)
//
// A message is a value of a named Go type. Its event type is the kebab case of the
// type's name (OrderPlaced is "order-placed"), or what its method EventType() string
// returns, or what [Config].Catalog says. Its topic is that of the option [Topic],
// else of the catalog or a method EventTopic() string, else the event type. Its key
// is that of the option [Key], else of a method EventKey() string. An [event.Event]
// is published as it is: nothing is derived and nothing inherited, its id neither.
//
// # Groups
//
// Every group on a topic gets every event. The members of a group share its events:
// all Buses, in this process or in others, that have a group of this name on the
// channel, with the same [Config].App; or with any, where the group is [AcrossApps]. A
// group has one handler for each event type. [Workers], [InFlight], [From], [Strict],
// [Unordered] and [AcrossApps] belong to the group; [Retry], [BlockKey], [ParkKey],
// [Timeout], [With] and [Batch] to the handler.
//
// An event of a type that the group has no handler for is acknowledged and told to
// the [SkipHook]; under [Strict] it is a dead letter.
//
// # What is promised
//
// Accepted: when Publish returned nil, the channel has the event, and every group
// that exists on the topic at that time is owed it. A group exists from its first
// Start and outlives its members. What "has" is worth depends on the channel:
// [event.Guarantees].Durable tells whether it survives the process.
//
// Handled at least once: an event that is owed is delivered until a handler has
// acknowledged it or it is a dead letter. A handler can see an event again when the
// process ended, or the lease was lost, before the settlement was recorded.
//
// Order: of the events of a (group, topic, key), one is first handed to a handler
// after the one before it was settled: handled, or dead; with [ParkKey] only handled,
// since the later ones of a dead one are kept behind it. A batch handler gets several
// at once, in order. That holds through retries, and between the members of a group.
// Different keys run at the same time, as far as there are workers.
//
// Room: what a group has in hand is bounded by [InFlight], but for deliveries that
// wait for room in the channel, and those behind them in their key: others have to be
// received to make that room. A Publish outside of handlers waits while the channel
// has no room, until its context ends or the Bus does; its error says who is behind:
// [event.FullError].
//
// # What is not promised
//
//   - Exactly one run of a handler for each event.
//   - Order without a key, between topics, or between different keys of one topic.
//   - Order for an event that is driven again: it comes when it is driven. But a parked
//     key is driven again in order.
//   - Order of a key when the handlers of the group are [Unordered].
//   - Time: a delayed event or a retry comes no earlier than it is due, and may come
//     later. But a retry that was given back comes after the longest delay that the
//     channel can keep ([event.Guarantees].MaxRetry), when that is shorter.
//   - Publishes that begin, or still wait, when the Bus is drained or shut down: they
//     return [event.ErrClosed]. One that was late may be written all the same; its
//     [event.ProduceFailure] says so.
//   - That a handler which ignores its context ends: Shutdown returns without it.
//
// # What a handler's answer means
//
// nil: what the handler published goes out, then the delivery is acknowledged.
//
// An error: a failure. What the handler published is dropped and the event is tried
// again after a wait that [Retry] says; see [Backoff] for the default. When the
// attempts are used up the event becomes a dead letter and the key goes on. With
// [BlockKey] there is no last attempt; with [ParkKey] the key doesn't go on. A panic is
// a failure too, a [PanicError].
//
// Errors that are marked are something else: [event.Permanent] is a dead letter at
// once, [event.RetryAfter] a failure with a wait of its own, [event.Postpone] a wait
// that is no failure, [event.Reject] an answer: acknowledged, and what was published
// is dropped. Data that can't be decoded ([DecodeError]) is a dead letter at once. Not
// a failure either: an error after the context ended because of a shutdown or a lost
// lease, and [event.ErrFull] of a publish.
//
// A failed event waits in hand, not in a worker, and the later events of its key wait
// behind it. When ¾ of the window wait like this, whole keys are given back to the
// channel until their time, if it can take them ([event.Guarantees].GivesBack): so
// keys that fail don't stop the others. Else the group stands still, and tells the
// [StallHook].
//
// # Batches
//
// [SubscribeBatch] hands events of one type over together: as many as [Batch] says, or
// as have come within its wait. What waits for others of its batch occupies no worker,
// and stops waiting when the window is full of what waits: no other can come then. A
// batch ends at an event that another handler of the group has, in its key.
//
// Each event keeps its own fate. nil acknowledges all; a [BatchError] fails the
// events that it names and no others, each with an error that means what it means for
// a single event; a mark around a BatchError
// is one around each of its errors. Any other error, a panic too, and one that is joined
// with a BatchError, fails all, each by itself. A batch
// has the events of a key in order. When one of them doesn't come to its end, by
// success or [event.Reject], the later ones of its key come again behind it, although
// the handler has seen them: their error is [event.ErrBehind], and that is neither a
// failure nor an attempt. For these order means that one is never done before those
// ahead of it are: where the handler's effects must be so too, let it stop at the
// first of a key that fails.
//
// Data that can't be decoded is a dead letter and never reaches the handler. When the
// lease of one event is lost while the batch runs, the context ends; an error of the
// handler is then no failure of the others.
//
// [event.Element] is the context of one event of the batch: what came with it, and
// what is published because of it. Under the batch's own context a publish is
// [event.ErrInBatch], also with [Now]: nobody could tell which event it belongs to.
// [Timeout] is that of the whole batch, the hooks are told of each event.
//
// # Publishing in a handler
//
// With the handler's context a publish is collected. Its nil means: this goes out if
// the attempt succeeds. The events inherit conversation, cause, trace and tenant, and
// their ids are derived from the group, the handled event and their ordinal: a handler
// that runs again publishes the same ids. They are produced after the handler returned
// nil and before the delivery is acknowledged. When that fails the delivery is held
// and only the producing is tried again; the handler doesn't run again, unless the
// process ends. An event that the channel refuses for good, say for its size, makes
// the handled event a dead letter; those before it may be out.
//
// The context is the handler's until it returns: afterwards nothing is collected under
// it, and a publish is an error. [Now] publishes at once, whatever becomes of the
// attempt.
//
// # The order of wrapping
//
// From the outside: [Timeout], [Config].Middleware, the middlewares of [With],
// [Config].Inner, the recovery from panics, upcast and check by the catalog, decoding,
// the handler. In all lists the first is the outermost. So a middleware sees an error instead of a
// panic; a panic of a middleware itself is an error too. Around a batch handler it is
// the same, with middlewares that are an [event.BatchMiddleware]; Start refuses
// others.
//
// # Dead letters
//
// They belong to a group and a topic. [Bus.DeadLetters] lists them with their
// [event.Cause]; the event is unchanged. [Bus.Redrive] sends one to its group again,
// and to no other, with its failures back at zero, or a repaired event in its place;
// [Bus.Discard] removes one. When the store of dead letters is full, the delivery
// waits in hand: nothing is dropped.
//
// With [ParkKey], what fails for good parks its key, where the channel can
// ([event.Guarantees].Parks; Start says so if not): the later ones of the key go
// behind it, as dead letters with the code [event.CodeParkedBehind], without a run
// and without a hook being told. [Bus.RedriveKey] hands them to the group again, in
// order and ahead of what is newer; so does a Redrive of the one in front, or of its
// repair. If one fails for good once more, it is parked with those behind it. Dead
// letters of types that the group has no handler for park nothing.
//
// # Later
//
// [Delay] and [At] publish an event that is delivered no earlier than it is due. A
// delay above the channel's longest is refused by the publish, with an error that
// names channel, topic and limit; [Config].Require moves that to Start, and all else
// that an application needs of its channel. [Bus.Cancel] takes such an event back
// until it is due.
//
// # The end
//
// [Bus.Shutdown]: deliveries that no handler has begun go back at once, and those that
// wait for a retry too, with what is left of their delay where the channel can keep
// it. Handlers that run may finish until its context ends; then theirs are cancelled
// with the cause [event.ErrClosed], and [Config].CancelGrace is the last wait. An
// attempt that was cancelled so is given back and not counted. Then the channel is
// closed, unless [Config].KeepChannel. Nothing becomes a dead letter because of a
// shutdown.
//
// [Bus.Drain] first refuses publishes from outside and waits until everything that is
// owed to the groups of this Bus is settled, retries and delayed events included.
// Whoever published with nil before is waited for.
//
// # What is logged
//
// [Config].Logger is told when a group waits, at most once a minute for each reason,
// and what an engine says that it tries again. Nothing of an event is logged but its
// id, and never the text of a handler's error or panic, which may quote the event.
// That text is kept in the [event.Cause] of a dead letter, as far as
// [event.MaxCauseText] goes, and goes as it is to middlewares, to the functions of
// [event.OnOutcome] and to the [AttemptHook]. A catalog's error is kept likewise. A
// [DecodeError] doesn't quote the data; a [PanicError] quotes its value only when that
// is an error or a string.
//
// # Goroutines
//
// Each started group has a fetcher, a keeper and as many workers as [Workers] says;
// all end with Shutdown. The fetcher receives while there is room; it may work on a single
// delivery itself, while a worker fetches in its place. A worker takes one
// delivery, or one batch, at a time and runs the handler; no two goroutines run
// handlers for one key at once. The keeper settles what the workers decided, many at
// a time when many have come together, and wakes what is due; where settling waits for
// nothing, a worker that has nothing else to do settles by itself. There is no goroutine
// and no timer for an event. Without Start, and after Shutdown, there are none.
//
// Hooks are called by these goroutines and by publishers: OnPublish where the publish
// happens, OnDeliver by the fetcher, OnAttempt by the worker, OnSettle and most of
// OnStall by the keeper or a worker. Handlers of different groups run at the same
// time; those of one group do when it has several workers.
//
// # Testing
//
// Package bustest runs handlers on the memory channel in virtual time, records what is
// published and attempted, and waits until everything has settled.
package bus
