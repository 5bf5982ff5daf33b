package watermillbridge

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// A dead letter is the message that failed, its payload unchanged. All else is in one
// piece of metadata, since some pub/subs have room for few.
const (
	letterAbout = ownPrefix + "cause" // about, as JSON
	letterRound = ownPrefix + "round" // of those that look at letters: place
	markerName  = "round"             // in place of a handle: no letter, but the end of a round
)

// about is what is known of a dead letter.
type about struct {
	Code          string    `json:"code,omitempty"`
	Text          string    `json:"text,omitempty"`
	Handler       string    `json:"handler,omitempty"`
	Attempts      int       `json:"attempts,omitempty"`
	Failures      int       `json:"failures,omitempty"`
	FirstFailedAt time.Time `json:"first_failed_at,omitzero"`
	Stack         string    `json:"stack,omitempty"`
	FailedAt      time.Time `json:"failed_at"`
	UUID          string    `json:"uuid,omitempty"`     // of the message
	Metadata      texts     `json:"metadata,omitempty"` // of the message
}

// newLetter returns the dead letter of a message.
func newLetter(handle string, failed *message.Message, c event.Cause) (*message.Message, error) {
	text, err := toJSON(about{
		c.Code, c.Text, c.Handler, c.Attempts, c.Failures, c.FirstFailedAt, c.Stack, time.Now(), failed.UUID, lasting(failed.Metadata),
	})
	if err != nil {
		return nil, fmt.Errorf("watermillbridge: dead letter: %w", err)
	}
	m := message.NewMessage(handle, failed.Payload)
	m.Metadata[letterMeta], m.Metadata[letterAbout] = handle, string(text)
	return m, nil
}

// lasting returns the metadata of a message but for what concerns its delivery alone.
func lasting(metadata message.Metadata) texts {
	out := make(texts, len(metadata))
	for name, value := range metadata {
		if name == accepted || !strings.HasPrefix(name, ownPrefix) {
			out[name] = value
		}
	}
	return out
}

// letter is a dead letter that was read.
type letter struct {
	event.DeadLetter

	m       *message.Message // as it stands in the dead-letter topic
	message *message.Message // as it failed
}

// readLetter reads a dead letter.
func readLetter(topic, group string, m *message.Message) (letter, error) {
	handle := m.Metadata[letterMeta]
	var a about
	if err := json.Unmarshal([]byte(m.Metadata[letterAbout]), &a); err != nil || handle == "" {
		return letter{}, fmt.Errorf("watermillbridge: the message %q on %q is no dead letter: %w", m.UUID, deadTopic(topic, group), err)
	}
	failed := message.NewMessage(a.UUID, m.Payload)
	maps.Copy(failed.Metadata, a.Metadata)
	l := letter{m: m, message: failed, DeadLetter: event.DeadLetter{
		Handle: handle, Topic: topic, Group: group, FailedAt: a.FailedAt,
		Cause: event.Cause{
			Code: a.Code, Text: a.Text, Handler: a.Handler, Attempts: a.Attempts, Failures: a.Failures,
			FirstFailedAt: a.FirstFailedAt, Stack: a.Stack,
		},
	}}
	var err error
	if l.Event, err = Decode(topic, failed); err != nil {
		l.Raw = m.Payload
	}
	return l, nil
}

// redriven returns the message of a letter as it comes again.
func (l letter) redriven() *message.Message {
	m := message.NewMessage(l.message.UUID, l.message.Payload)
	maps.Copy(m.Metadata, l.message.Metadata)
	m.Metadata[marked] = "redriven"
	return m
}

// place says who put a letter where it stands, of those that look at letters. Whoever
// puts it back makes n larger: of two copies the one with the larger is newer.
type place struct {
	round string // whose look it was; "": it is where it was put first
	n     int64  // in ms since 1970, or more where clocks differ
}

// gone is the place of a letter that was removed: behind all others.
var gone = place{n: math.MaxInt64}

func placeOf(m *message.Message) place {
	round, n, _ := strings.Cut(m.Metadata[letterRound], "/")
	ms, _ := strconv.ParseInt(n, 10, 64) // else 0: older than all
	return place{round, ms}
}

func (p place) String() string { return p.round + "/" + strconv.FormatInt(p.n, 10) }

// before reports whether p is older than q. No two places are the same.
func (p place) before(q place) bool {
	return cmp.Or(cmp.Compare(p.n, q.n), cmp.Compare(p.round, q.round)) < 0
}
