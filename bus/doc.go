// Package bus is the runtime of leat: it publishes typed events to a channel and
// hands those of the channel to typed handlers.
package bus
