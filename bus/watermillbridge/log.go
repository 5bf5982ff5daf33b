package watermillbridge

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ThreeDotsLabs/watermill"
)

// errorLog passes on what a library logs as an error, and nothing else.
type errorLog struct {
	tell   func(error)
	fields watermill.LogFields
}

// Error passes an error on with the names of topics and groups: other fields may hold
// what is in a message.
func (l *errorLog) Error(msg string, err error, fields watermill.LogFields) {
	if err == nil {
		return
	}
	all := l.fields.Add(fields)
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if named[name] {
			fmt.Fprintf(&b, " %s=%v", name, all[name])
		}
	}
	l.tell(fmt.Errorf("watermillbridge: %s%s: %w", msg, b.String(), err))
}

var named = map[string]bool{"topic": true, "consumer_group": true, "group": true, "queue": true, "stream": true, "message_uuid": true}

// Info drops a message.
func (l *errorLog) Info(string, watermill.LogFields) {}

// Debug drops a message.
func (l *errorLog) Debug(string, watermill.LogFields) {}

// Trace drops a message.
func (l *errorLog) Trace(string, watermill.LogFields) {}

// With returns a log with more fields.
func (l *errorLog) With(fields watermill.LogFields) watermill.LoggerAdapter {
	return &errorLog{l.tell, l.fields.Add(fields)}
}
