// Package storetest tests that a store keeps every promise that package idempotency
// makes of an [idempotency.Store]. The stores of leat are tested by it, and so should be
// yours:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, storetest.Harness{
//			Open: func(t testing.TB, window time.Duration) idempotency.Store { return mystore.New(server, window) },
//		})
//	}
package storetest
