// Package bench measures leat, alone and beside its peers. It is a module of
// its own, so that no peer reaches the go.sum of a user of leat.
package bench
