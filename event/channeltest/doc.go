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
// # Brokers
//
// Cases never sleep and hope. What must happen is waited for, up to Patience; that
// nothing happens is believed after Silence; nothing may be early, and late is what
// outlasts Patience. Members that must share work are warmed up first, until each
// has got something, so that a rebalance is over when the case begins. Every case
// uses names of its own, so that all can share one broker and run in Parallel.
package channeltest
