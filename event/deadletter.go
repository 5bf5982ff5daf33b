package event

import (
	"context"
	"iter"
	"time"
	"unicode/utf8"
)

// The longest strings of a [Cause], in bytes.
const (
	MaxCauseName  = 256 // code and handler
	MaxCauseText  = 1 << 10
	MaxCauseStack = 4 << 10
)

// CodeParkedBehind is the code of the Cause of events that did not fail: they wait
// behind one of their key that did, and whose id the text names. See [Park].
const CodeParkedBehind = "parked-behind"

// Cause says why an event became a dead letter. It never carries payload of its own
// making, but the text of a handler's error is the handler's.
type Cause struct {
	Code          string    // "handler", "permanent", "decode", "unknown-type", …, or the code of an [Error]; at most MaxCauseName bytes
	Text          string    // at most MaxCauseText bytes
	Handler       string    // name of the handler: group and type; as long as Code
	Attempts      int       // deliveries and further runs of the handler
	Failures      int       // of the handler, which its retries allow a number of
	FirstFailedAt time.Time // as far as the member knows that gave up: at the latest then
	Stack         string    // of a panic; at most MaxCauseStack bytes
}

// Bounded returns c with all strings cut to their bounds, never within a rune.
func (c Cause) Bounded() Cause {
	c.Code = cut(c.Code, MaxCauseName)
	c.Handler = cut(c.Handler, MaxCauseName)
	c.Text = cut(c.Text, MaxCauseText)
	c.Stack = cut(c.Stack, MaxCauseStack)
	return c
}

func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// DeadLetter is an event that a group could not handle, unchanged, with the cause
// beside it.
type DeadLetter struct {
	Handle   string    // names it within topic and group, for Redrive and Discard
	Topic    string    // where it came from
	Group    string    // that gave it up
	Event    Event     // as it was delivered
	Raw      []byte    // the bytes as received, when they were no event
	Position Position  // of the event in its topic
	Cause    Cause     // why
	FailedAt time.Time // when it became a dead letter
}

// DeadLetters is implemented by channels whose dead letters can be looked at. All
// dead letters belong to a topic and a group, and a redrive reaches that group only.
type DeadLetters interface {
	// DeadLetters yields the dead letters of a group on a topic, oldest first; none
	// for a group or a topic that doesn't exist.
	DeadLetters(ctx context.Context, topic, group string) iter.Seq2[DeadLetter, error]

	// Redrive sends a dead letter again, marked as redriven, with its failures back
	// at zero. A repaired event goes in its place: it has an id of its own and the id
	// of the failed one as its cause. [ErrNotFound] when the dead letter is gone. All
	// that is parked behind a dead letter follows it, in order and ahead of what is
	// newer; what is parked behind another is refused.
	Redrive(ctx context.Context, d DeadLetter, repaired ...Event) error

	// RedriveKey sends all dead letters of a key again, in order, and returns how many
	// there were. Where keys can be parked ([Guarantees].Parks) they come ahead of what is
	// newer, and a parked key goes on behind them.
	RedriveKey(ctx context.Context, topic, group, key string) (int, error)

	// Discard removes a dead letter. [ErrNotFound] when it is gone already. Of a parked
	// key, the next is in front then, or the key goes on when there is none.
	Discard(ctx context.Context, d DeadLetter) error
}
