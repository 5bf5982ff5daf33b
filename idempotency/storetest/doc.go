// Package storetest tests that a store keeps every promise that package idempotency
// makes of an [idempotency.Store]. The stores of leat are tested by it, and so should be
// yours:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open: func(t testing.TB, window time.Duration) idempotency.Store { return mystore.New(server, window) },
//		})
//	}
//
// Stores are told for how long, never when: by what clock they measure is theirs to say,
// and has to be one for all processes that share them. [Harness.Other] lets that be tested.
package storetest
