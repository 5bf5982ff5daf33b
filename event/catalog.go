package event

import "reflect"

// Message is what a catalog knows about a type of message.
type Message struct {
	Type          string // the event type: "order-placed"
	Topic         string // where it is published; "": the same as Type
	ContentType   string // of the data; "": the bus's default codec
	Schema        string // URI
	SchemaVersion string // major version first: "2" or "2.1"
}

// Catalog knows the messages of an application. A schema registry is one; a bus
// without a catalog names messages after their Go types.
type Catalog interface {
	// Message returns what is known about a Go type.
	Message(t reflect.Type) (Message, bool)
	// MessageByType returns what is known about an event type.
	MessageByType(typ string) (Message, bool)
	// Check refuses an event whose data breaks its message's schema. It is asked on
	// the way out and on the way in.
	Check(e Event) error
	// Upcast brings an event to the version that the application knows. A newer one
	// is refused with [ErrNewerVersion].
	Upcast(e Event) (Event, error)
}
