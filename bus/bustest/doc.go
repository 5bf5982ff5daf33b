// Package bustest runs the handlers of an application in tests: on the memory
// channel, in virtual time, with a recorder of everything that was published and
// attempted.
//
//	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
//		mailer.Register(b.Bus, &fakeSMTP{failFirst: 3})
//		b.Publish(OrderPlaced{ID: "42"})
//		b.Settle() // an hour of retries passes in no time
//		bustest.Want(b, MailSent{Order: "42"})
//	})
//
// [Run] makes a bubble of testing/synctest: time moves when everything waits, so a
// test of retries over hours takes milliseconds. In a bubble t.Run, t.Parallel and
// connections to real servers are not possible; [RealTime] runs without. The
// memory channel encodes and decodes every event, so that nothing reaches a
// handler that would not survive a broker.
//
// # Faults
//
// [Faults] gives the channel a bad day: events come again, late, in another order of
// keys; leases, acks and answers are lost. A handler that isn't idempotent is caught:
//
//	bustest.Run(t, func(t *testing.T, b *bustest.Bus) {
//		…
//	}, bustest.Faults(memory.Faults{Redeliver: 0.1, LoseAck: 0.1, Delay: time.Second}))
//
// A test that fails prints the seed of its faults, and the environment variable
// LEAT_FAULTS_SEED gives the next run the same: the same events have the same ids, the
// same faults and the same waits, in virtual time to the nanosecond, on any number of
// workers. [Bus.Trace] says what a test must not leave open for that, and
// [Bus.TraceHash] compares two runs.
//
// # Explore
//
// A test in which nothing goes wrong says little about a handler that runs at least
// once. [Explore] runs an application under thousands of schedules, in which processes
// die between any two steps, leases are lost, events come again and handlers overtake
// each other, and compares how each of them ends with how an undisturbed run does:
//
//	func TestCashier(t *testing.T) {
//		bustest.Explore(t, func(w *bustest.World) {
//			db := newFakeDB() // survives the process
//			w.Handlers(func(b *bus.Bus) { cashier.Register(b, db) })
//			w.Publish(PaymentDue{Customer: "bob", Cents: 3})
//			w.State(func() any { return db.balances })
//		})
//	}
//
// Between two effects of a handler, or of a fake that it uses, stands a [Step]:
//
//	func (db *fakeDB) Charge(ctx context.Context, p PaymentDue) {
//		db.balances[p.Customer] += p.Cents
//		bustest.Step(ctx, "charged")
//	}
//
// A batch handler calls Step with the context of the batch or with that of one of its
// events. Its story names the events that it got:
//
//	50ms process 1: group "report" handles a batch of call-made message-1, message-3, attempt 1: returns nil
//
// A handler may park its keys with [bus.ParkKey]: what is parked at the end is compared as
// all dead letters are.
//
// What goes wrong is shrunk to the shortest schedule that still does, and told:
//
//	the final state differs from that of the undisturbed run:
//	  map[bob:6]
//	  undisturbed: map[bob:3]
//	  published message-1: PaymentDue{Customer:bob Cents:3}
//	  1. 0s process 1: group "cashier" handles payment-due message-1, attempt 1, up to step "charged"
//	  2. 0s process 1 dies, with payment-due message-1 not settled
//	  3. 0s process 2: group "cashier" handles payment-due message-1, attempt 2: returns nil
//	again: bustest.Seed(1), bustest.Only(11)
//	this alone: bustest.Replay("go/1/0/payment-due:message-1/step:charged=die/1")
//	what happened:
//	  0s payment-due key=bob (message-1)
//	    0s cashier/payment-due attempt 1: process 1 dies at step "charged"
//	    0s cashier/payment-due attempt 2: acked
//
// The times are virtual, since the start of the run. [Seed] and [Only] search the
// schedule again and shorten it; [Replay] runs the short one and can stay in a test.
// Where a test has no Seed, the environment variable BUSTEST_SEED chooses it: that is
// [ExploreSeedVariable], and not LEAT_FAULTS_SEED, which is for Faults.
//
// Explore draws schedules at random: that it finds nothing is no proof. It knows of a
// handler's inside only its Steps and its publishes; what happens between two of them
// happens at once. The Examples of this package show the five bugs that handlers have
// most often, two of batches and one of parked keys, as Explore tells them; beside them, in
// classics_*_test.go and example_park_test.go, stand the handlers without them.
package bustest
