package event

import "slices"

// Names of the extension attributes that leat gives a meaning. The first three of
// the CloudEvents documented extensions keep their meaning from there
// (partitioning, distributed tracing).
const (
	ExtKey           = "partitionkey"  // what order is kept by, [Event.Key]
	ExtTraceparent   = "traceparent"   // W3C Trace Context
	ExtTracestate    = "tracestate"    // W3C Trace Context
	ExtCorrelationID = "correlationid" // the conversation that the event belongs to
	ExtCausationID   = "causationid"   // the id of the event that caused this one
	ExtTenant        = "tenant"        // whose event it is
	ExtSchemaVersion = "schemaversion" // version of the data's schema
	ExtNotBefore     = "notbefore"     // earliest delivery, RFC 3339, [Event.NotBefore]
)

// Extension is one extension attribute of an event. Values are kept in the
// canonical string form of the CloudEvents type system: an integer or a boolean
// that arrives in JSON becomes its text.
type Extension struct{ Name, Value string }

// allExtensions returns the extensions sorted by name, with those that have a
// field of their own. The result may be shared: don't change it.
func (e Event) allExtensions() []Extension {
	c := e.core()
	m := c.rare()
	if c.key == "" && m.notBefore.IsZero() {
		return m.extensions
	}
	xs := slices.Clone(m.extensions)
	if c.key != "" {
		xs = append(xs, Extension{ExtKey, c.key})
	}
	if !m.notBefore.IsZero() {
		xs = append(xs, Extension{ExtNotBefore, formatTime(m.notBefore)})
	}
	slices.SortFunc(xs, func(a, b Extension) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return xs
}

// CorrelationID returns the conversation that the event belongs to: the extension
// correlationid, or the event's own id when it starts one.
func (e Event) CorrelationID() string {
	if id := e.Extension(ExtCorrelationID); id != "" {
		return id
	}
	return e.ID()
}
