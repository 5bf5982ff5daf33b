package idempotency

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/leat-go/leat/event"
)

// Record is what a completed handler left, for those who ask again: its result or its
// rejection, and what it published.
type Record struct {
	Result   *event.Result // nil: none was set
	Rejected *event.Error  // nil: it succeeded
	Sent     []Sent        // in the order of publishing
}

// Sent is some events that a handler published to a topic.
type Sent struct {
	Topic  string
	Events []event.Event
}

// recordJSON is a record as stores keep it.
type recordJSON struct {
	Result   *resultJSON  `json:"result,omitempty"`
	Rejected *event.Error `json:"rejected,omitempty"`
	Sent     []sentJSON   `json:"sent,omitempty"`
}

type resultJSON struct {
	ContentType string `json:"type"`
	Data        []byte `json:"data"`
}

type sentJSON struct {
	Topic  string          `json:"topic"`
	Events json.RawMessage `json:"events"` // a batch of CloudEvents
}

// MarshalBinary returns the record as JSON, nothing for the zero record.
func (r Record) MarshalBinary() ([]byte, error) {
	if r.Result == nil && r.Rejected == nil && len(r.Sent) == 0 {
		return nil, nil
	}
	x := recordJSON{Rejected: r.Rejected}
	if r.Result != nil {
		x.Result = &resultJSON{r.Result.ContentType, r.Result.Data}
	}
	for _, s := range r.Sent {
		events, err := event.AppendJSONBatch(nil, s.Events...)
		if err != nil {
			return nil, fmt.Errorf("idempotency: what was published to %q: %w", s.Topic, err)
		}
		x.Sent = append(x.Sent, sentJSON{s.Topic, events})
	}
	return json.Marshal(x)
}

// UnmarshalBinary reads what [Record.MarshalBinary] returned.
func (r *Record) UnmarshalBinary(b []byte) error {
	*r = Record{}
	if len(b) == 0 {
		return nil
	}
	var x recordJSON
	if err := json.Unmarshal(b, &x); err != nil {
		return fmt.Errorf("idempotency: a record: %w", err)
	}
	r.Rejected = x.Rejected
	if x.Result != nil {
		r.Result = &event.Result{ContentType: x.Result.ContentType, Data: x.Result.Data}
	}
	for _, s := range x.Sent {
		events, err := event.Decoder{MaxBytes: -1}.ParseJSONBatch(s.Events)
		if err != nil {
			return fmt.Errorf("idempotency: a record: what was published to %q: %w", s.Topic, err)
		}
		r.Sent = append(r.Sent, Sent{s.Topic, events})
	}
	return nil
}

// rejection returns what is kept of a handler's rejection.
func rejection(err error) *event.Error {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e
	}
	return event.NewError("rejected", errors.Unwrap(err).Error())
}
