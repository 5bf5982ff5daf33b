// Package memory is the embedded engine: an [event.Channel] within the process, for
// production where nothing has to survive it, and the one that tests run on.
//
//	b := bus.New(bus.Config{Channel: memory.New()})
//
// It implements all of the contract in package event. This is what it promises beyond
// that.
//
// # What is kept
//
// An event is owed to every group that exists on its topic at the moment when
// Produce accepts it, and is kept until the last of them has settled it. Nothing is
// on disk: what is unsettled when the channel is closed, or when the process ends,
// is gone. An event is shared, never copied: its data was copied when it was made.
// Topics are made when they are first named and stay until the channel is closed.
//
// A group exists from the moment when Consumer or EnsureGroup returned until
// RemoveGroup; it outlives its members. A new group starts with what is produced
// from then on. With [Retain] each topic also keeps its last n events, and that ring,
// nothing else, is the history that a new group or [Channel.Seek] starts in: what
// other groups have not settled yet is theirs. Without Retain there is no history,
// and a start at the oldest event or at a time is refused.
//
// An invalid event is refused by an [event.ProduceError] that names it; the others of
// the call are accepted, later ones of its key too.
//
// # Order
//
// Each topic has one order, the order of acceptance, which is that of
// [event.Position]: lane 0, offsets from 1 without a gap (those of ProduceTo are seen
// by one group only). A group gets the events of a topic in that order, as long as
// none of them has to wait and none went over a bound.
//
// [Channel.Ends] is the offset of the last event for all groups; what ProduceTo sent to
// one of them is in Delivery.Gap for the others. Members of a group share the lane, so
// each gets a part of its positions only. An event that was cancelled is in no gap when
// the group had it among its delayed ones already: it never comes. A redriven event
// has its old position, one of ProduceTo a new one.
//
// Of a key, an event is delivered only when all earlier ones of that key have been
// delivered; and while one of them is in the hand of a member, only to that member.
// An event that was given back with a delay keeps the later ones of its key waiting,
// those of other keys never. One with a NotBefore keeps nobody waiting until it is
// due; then it comes before later ones that were not delivered yet. A redriven event
// takes its old place in the same way. [Channel.Cancel] removes what is not due. What
// comes again and what comes for the first time get turns, so that neither starves.
//
// # Attempts
//
// Delivery.Attempt counts deliveries, but for those that were released, and those
// that were not begun when their consumer was closed. What a crashed member had in
// hand counts. Failures are those of the last Hold or Retry. All runs of a delivery
// have the same context; another delivery has another. Dead letters start anew.
//
// # Parked keys
//
// A Park makes a dead letter, and from then on all that comes of its key, for the
// group on the topic, becomes one too: what waits or is to be tried again at once,
// what arrives when a member receives or somebody asks for dead letters, Lag or Quiet,
// and what has a NotBefore when it is due. Their cause has the code
// [event.CodeParkedBehind] and names the event in front: the oldest of the key's dead
// letters since the Park. What the member has in hand of the key is taken away at once,
// but for what is begun. That may end; when it is held or given back instead it goes
// behind as well, and so does what dies.
//
// The key goes on when it is redriven, by [Channel.RedriveKey] or by a Redrive of the
// front, which all behind it follow; and when its last dead letter is discarded. When
// the front is discarded, the next is in front. Others of the key can't be redriven
// alone. Redriven, they come in the order of acceptance. Seek leaves keys parked,
// RemoveGroup doesn't.
//
// An event without a key parks nothing, and neither does an ephemeral consumer, which
// has no dead letters: there a Park is a Dead.
//
// # Leases
//
// What is in hand is the member's for as long as it is open. A lease is lost only by
// [Channel.Crash], which is for tests: the [Lease] later, the deliveries go to others
// and their contexts end. Only then, and when a key is parked, is Subscription.OnLost
// called.
//
// # Bounds
//
// A topic holds at most [Capacity] events that its fullest group has not settled:
// those that wait, are delayed or in hand. At the bound, publishers outside of
// handlers wait in line. They go on when the group has worked off a quarter, or at
// any room when less than a quarter waits to be delivered, since the rest may be held
// for long. A call of many events is accepted piece by piece, in order; when its
// context ends in the middle, an event.ProduceError names the rest, with an
// [event.FullError] that names the group.
//
// Publishing under a handler's context (or under that of a begun delivery) never
// waits. It may use the [Reserve] as well; beyond that it gets ErrFull, all or
// nothing. So that handlers that publish can't wait for each other for good, one
// publish at a time may pass all bounds: when no handler runs but those that found no
// room, and nothing is on its way to a handler that could make room, that of the event
// accepted last. It passes them by at most [MaxOverBound] events. What went over the
// bound is delivered ahead of other keys, so that it comes to its end before the next
// has to follow. One event that makes many of its own key, or a handler that publishes
// more than MaxOverBound events at once, can need more: when nothing moves and all that
// wait need more, they get it little by little, and [OnOverBound] tells. A topic where that
// is usual needs a larger reserve. More events at once than capacity and reserve are
// refused for good, with ErrTooLarge.
//
// For that, whoever runs handlers has to go on receiving while deliveries in hand
// wait for room: only then is known what is on its way. So Subscription.InFlight is no
// bound while some of them are held, and neither they nor what is behind them in their
// key should count for any window.
//
// Not subject to the bounds: the history that a new group starts with, and redriven
// events, which the channel has already. Dead letters have a bound of their own,
// [DeadCapacity]. When it is reached, Settle refuses the next with ErrFull and the
// delivery stays in hand as if it were held. What should go behind a parked key then
// stays where it is: it is not delivered, counts as unsettled, and moves when there is
// room. The members of the group are told so by Subscription.OnError, with an ErrFull
// that names group and topic: when it comes to that, and about every 10 s while it
// lasts and one of them receives.
//
// # Faults
//
// [WithFaults] gives the channel a bad day, for tests: deliveries come again and late,
// keys overtake each other, leases, acks and answers are lost, as the contract permits.
// What is promised above holds all the same, but that what is in hand stays the
// member's. From the seed follows what each event has in store, whoever
// handles it and when. A channel without faults asks once whether it has any.
//
// # Concurrency and time
//
// The package starts no goroutine, and nothing is done in the background. Whoever
// waits, in Receive, Quiet or for room, keeps the time for what is to come; so a
// channel made within a testing/synctest bubble runs on the bubble's time. No lock is
// held while something waits or foreign code runs; contexts are ended, and OnLost,
// OnError and the function of [OnOverBound] are called, by whoever caused or noticed the reason.
//
// All methods may be called concurrently, Receive of one consumer excepted.
package memory
