// Package sse writes server-sent events: what those have in common that stream by HTTP.
// It has no goroutine.
package sse
