// Package idempotency lets what is asked for more than once have its effect once.
//
// Channels deliver at least once: an event comes again when a process dies between its
// effect and its acknowledgement, when a lease is lost, when it is played again.
// [Middleware] claims an event in a [Store] before its handler runs, and records there
// that it succeeded:
//
//	once := idempotency.Middleware(redisstore.NewIdempotency(client, redisstore.IdempotencyConfig{}))
//	bus.Subscribe(b, "billing", charge, bus.With(once))
//
// [Once.Handler] does the same for HTTP requests with an Idempotency-Key, and [Once.Do] for
// anything that has a name.
//
// # Keys
//
// An event is known by the group that handles it, its tenant, its source and its id: see
// [Key]. Each group has its own effect.
//
// # What happens
//
// A delivery claims its key for a lease, which is extended while the handler runs. Of any
// number of deliveries at a time one gets the claim; the others are postponed until its
// lease ends, without a failure and without occupying a worker.
//
// When the handler returns nil the record is written before anything else happens: its
// result and what it published are in it. A delivery that comes later doesn't run the
// handler; it answers with the same result, and what was published goes out again by the
// same ids. A rejection ([event.Reject]) is recorded and repeated too. After a failure the
// claim is given back, so that the retry can have it. When the event becomes a dead letter
// that is recorded: what comes again by itself is acknowledged, what is driven again runs.
//
// An id that comes with another payload is refused: it becomes a dead letter. Where the id
// was derived from another event, by a handler that ran again and made something else of
// it, it is acknowledged and counted: the first one is out.
//
// # What can still happen twice
//
// Between the effect and its record the process can die. Then the lease ends, and the
// handler runs again: the effect is doubled if nothing else prevents it. Where that must
// not be, the effect has to go into the same transaction as the record ([InTx], with a
// [Transactor] such as that of stores/pgstore), or whoever has the effect has to know
// [Fence]: the number of the claim, higher than that of any before, by which one that was
// overtaken can be refused.
//
// # In a transaction
//
// [InTx] claims the key in a transaction, and runs the handler in it. The record, the effect
// and what was published commit together: there is nothing in between at which a crash could
// double one, lose one, or leave one without the others. Others who come meanwhile are
// postponed. There are no leases: a transaction whose process has died is the database's to
// end. That a delivery isn't ours any more doesn't undo what its handler did: it commits,
// and whoever gets the event next is told that it is done. A batch is one transaction; where
// one of its events fails each has its own. What the database interrupts is begun again, and
// is no failure of the event; a commit that it refuses for what is in it is one ([ErrAborted]).
//
// # Without the store
//
// Nothing runs unclaimed. While the store doesn't answer, deliveries are postponed, from
// 100 ms up to 10 s each time, which are no failures of theirs, and [Once.Ready] says so.
// When it goes away while a handler runs, the claim's end ends the handler's context; when
// the handler has ended, the record is tried again for as long as the claim lasts.
//
// # Testing
//
// bustest.Explore lets an application's processes die between any two of its steps, with
// duplicates, lost leases and any order. With the middleware on a store in memory one test
// shows that a handler's effect is there once:
//
//	func TestOnce(t *testing.T) {
//		bustest.Explore(t, func(w *bustest.World) {
//			balance := 0
//			once := idempotency.Middleware(idempotency.NewMemory(idempotency.MemoryConfig{}))
//			w.Handlers(func(b *bus.Bus) {
//				bus.Subscribe(b, "bank", func(ctx context.Context, d Deposit) error {
//					balance += d.Cents
//					return nil
//				}, bus.With(once))
//			})
//			w.Publish(Deposit{Cents: 100})
//			w.State(func() any { return balance })
//		})
//	}
//
// # How long
//
// A store keeps a record for its window. A channel that says it can bring an event again
// after that is refused at start. One that can't say isn't: Kafka with a topic that is kept
// for ever, of which a group can be set back to any place.
package idempotency
