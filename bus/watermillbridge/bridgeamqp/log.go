package bridgeamqp

import (
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// orderly is a logger that takes a lock for every line, whether it is passed on or not.
// The library's goroutines share fields of a connection without a lock, but log after
// they write them and before they read them: the logger's lock orders both.
type orderly struct {
	watermill.LoggerAdapter

	turn *sync.Mutex
}

// order is a line that says nothing.
func (o *orderly) order() {
	o.turn.Lock()
	o.turn.Unlock() //nolint:gocritic,staticcheck // it is the lock alone that counts
}

// Error passes an error on. The library wraps a nil pointer when a connection was closed
// without a reason.
func (o *orderly) Error(msg string, err error, fields watermill.LogFields) {
	o.order()
	if reason, ok := err.(*amqp091.Error); ok && reason == nil { //nolint:errorlint // it is this one, not wrapped
		err = amqp091.ErrClosed
	}
	o.LoggerAdapter.Error(msg, err, fields)
}

// Info drops a message.
func (o *orderly) Info(string, watermill.LogFields) { o.order() }

// Debug drops a message.
func (o *orderly) Debug(string, watermill.LogFields) { o.order() }

// Trace drops a message.
func (o *orderly) Trace(string, watermill.LogFields) { o.order() }

// With returns a logger with more fields, and the same lock.
func (o *orderly) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return &orderly{o.LoggerAdapter.With(fields), o.turn}
}
