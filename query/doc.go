// Package query asks for what somebody knows: a query is answered at once, by exactly one
// handler, and changes nothing.
package query
