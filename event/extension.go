package event

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
	ExtDataRef       = "dataref"       // where the data is, if it isn't in the event (CloudEvents documented extension)
	ExtDataDigest    = "datadigest"    // of that data: "sha-256=:" and its base64 and ":", as in RFC 9530
	ExtNotBefore     = "notbefore"     // earliest delivery, RFC 3339, [Event.NotBefore]
	ExtExpiryTime    = "expirytime"    // when it is of no use any more, RFC 3339 (CloudEvents documented extension)
	ExtReplyTo       = "replyto"       // where the answer goes: a topic of replies, and who waits there
	ExtReplyBy       = "replyby"       // until when somebody waits for the answer, RFC 3339
	ExtReplyError    = "replyerror"    // of an answer: "true" where it is an error
)

// Extension is one extension attribute of an event. Values are kept in the
// canonical string form of the CloudEvents type system: an integer or a boolean
// that arrives in JSON becomes its text.
type Extension struct{ Name, Value string } // a name is of lower-case letters and digits

// CorrelationID returns the conversation that the event belongs to: the extension
// correlationid, or the event's own id when it starts one.
func (e Event) CorrelationID() string {
	if id := e.Extension(ExtCorrelationID); id != "" {
		return id
	}
	return e.ID()
}
