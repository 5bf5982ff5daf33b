package command

import "context"

// Notifier tells somebody what became of a command: the one who sent it. See [Config].
type Notifier interface {
	// Notify is called with an operation that is final. An error is a failure: it is
	// called again, with pauses that grow, and at last the notification is a dead letter
	// of the group. It can be called again for the same operation.
	Notify(ctx context.Context, o Operation) error
}

// NotifierFunc is a function that is a [Notifier].
type NotifierFunc func(ctx context.Context, o Operation) error

// Notify implements [Notifier].
func (f NotifierFunc) Notify(ctx context.Context, o Operation) error { return f(ctx, o) }
