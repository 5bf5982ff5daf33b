// Package channeltest tests that an engine keeps every promise that package event
// makes of an [event.Channel], and measures it. The engines of leat are tested by
// it, and so should be yours:
//
//	func TestChannel(t *testing.T) {
//		channeltest.Run(t, channeltest.Harness{
//			Open: func(t testing.TB) event.Channel { return mybroker.New(addr) },
//			Declared: &channeltest.Declaration{
//				Guarantees:   event.Guarantees{Channel: "mybroker", OrderPerKey: true, Durable: true, MaxBytes: 1 << 20},
//				Capabilities: channeltest.DeadLetters | channeltest.LagReporter,
//			},
//			Crash:    func(c event.Consumer) { c.(*mybroker.Consumer).Kill() },
//			Patience: 30 * time.Second, // rebalances
//			Silence:  2 * time.Second,
//		})
//	}
//
//	func BenchmarkChannel(b *testing.B) { channeltest.Benchmark(b, harness) }
//
// # Which cases run
//
// The harness decides, never the way a case goes: no case is skipped while it runs.
// [Declaration] says what the channel promises and which optional interfaces it
// has; the first case compares that with what the channel says of itself, both
// ways. What can't be asked of a channel, a crash for instance, is a function of
// the harness; without it the cases that need it are not run. Run logs at its end
// (go test -v) what was not run, and why.
//
// # What is compared
//
// Some promises are compared for every delivery of every case: the event was
// produced on this topic, is owed to this group and came unchanged; of a key,
// nothing overtakes; a key stays with the member that has some of it in hand; and on
// an Exact channel nothing is delivered again without a reason. A failure says what
// was broken, for which event, key and group, then the promise in words, then what
// happened, step by step.
//
// # Faults
//
// A channel may have faults inside, as memory.WithFaults makes them: at any time it
// repeats itself, comes late, takes leases away or loses its answers. Run leaves out
// the cases that count exactly when it is Faulty. [RunSeeds] runs the others with many
// seeds, one bad day for each. What they compare is what holds on any day: nothing is
// lost or changed, nothing goes to a group that isn't owed it, first deliveries of a
// key come in order, and a key is in one hand, where nobody was told of a loss. A
// failure says the seed, and LEAT_FAULTS_SEED runs that one alone. The same events have
// the same faults in store then; which goroutine comes first is left to chance.
//
// # Brokers
//
// Cases never sleep and hope. What must happen is waited for, up to Patience; that
// nothing happens is believed after Silence; nothing may be early, and late is what
// outlasts Patience. Members that must share work are warmed up first, until each
// has got something, so that a rebalance is over when the case begins. A group may
// rebalance all the same: on a channel that isn't Exact, a case that failed after it had
// lost what it had in hand is run again, up to three times in all. Every case uses names
// of its own, so that all can share one broker and run in Parallel.
package channeltest
