// Package operationstest tests that a store keeps every promise that package command
// makes of [command.Operations], and of [command.Watch] and [command.Change] on it. The
// stores of leat are tested by it, and so should be yours:
//
//	func TestOperations(t *testing.T) {
//		operationstest.Run(t, func(tb testing.TB, keep time.Duration) command.Operations {
//			return mystore.NewOperations(server, "test:"+tb.Name(), keep)
//		})
//	}
package operationstest
