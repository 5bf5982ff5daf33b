// Package test holds the tests that need a peer library, such as the official
// CloudEvents SDK as an oracle of the codecs. It is a module of its own, so
// that no peer reaches the go.sum of a user of leat.
package test
