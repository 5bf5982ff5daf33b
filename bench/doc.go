// Package bench measures leat, alone and beside its peers. It is a module of
// its own, so that no peer reaches the go.sum of a user of leat.
//
// A [Scenario] is one kind of work. It has several sides: leat, what the work costs
// without a bus, and peers. All sides send the same payloads, call the same handler,
// and are done when the last event is handled and settled. How many were handled is
// checked in every run.
//
// The benchmarks of this package measure one side at a time. The program in compare
// measures the sides of a scenario in turns and prints the ratios.
package bench
