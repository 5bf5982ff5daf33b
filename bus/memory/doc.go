// Package memory is the embedded engine: an [event.Channel] within the process.
package memory
