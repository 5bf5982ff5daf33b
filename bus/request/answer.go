package request

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Answer is what a handler says: a result, or an error.
type Answer struct {
	Result event.Result // if Err is nil
	Err    *event.Error // nil: it succeeded
}

// typeAnswer is the event type of answers.
const typeAnswer = "reply"

// ErrResultTooLarge is the answer where a result can't be sent. What was asked for is done.
var ErrResultTooLarge = event.NewError("result_too_large", "it is done, but the result is too large to be sent")

// Wanted is what a request says about its answer.
type Wanted struct {
	request event.Event
	to      Address
	by      time.Time
	bounded bool
}

// WantedBy reads what a request says about its answer. It is false where nobody can be
// told.
func (r *Requests) WantedBy(request event.Event) (Wanted, bool) {
	to, ok := r.readTo(request)
	if !ok {
		return Wanted{}, false
	}
	by, bounded := r.readBy(request)
	return Wanted{request: request, to: to, by: by, bounded: bounded}, true
}

// By returns until when somebody waits for the answer, and whether the request says so.
func (w Wanted) By() (by time.Time, ok bool) { return w.by, w.bounded }

// Answer sends the answer to a request, at once, if the request wants one and somebody
// still waits. It may be called again with the same. An error means that it should be: where a
// request doesn't say until when somebody waits, the answer is tried once.
func (r *Requests) Answer(ctx context.Context, request event.Event, a Answer) error {
	if w, ok := r.WantedBy(request); ok {
		return r.AnswerTo(ctx, w, a)
	}
	return nil
}

// AnswerTo is [Requests.Answer] for a request that was read already.
func (r *Requests) AnswerTo(ctx context.Context, w Wanted, a Answer) error {
	if w.bounded && time.Now().After(w.by) {
		return nil
	}
	err := r.send(ctx, w.to, w.request, a)
	if errors.Is(err, event.ErrTooLarge) {
		err = r.send(ctx, w.to, w.request, a.small())
	}
	if !w.bounded {
		return nil // the topic may be one that never takes it
	}
	return err
}

// maxMessage is what stays of the message of an error that is too large to be sent.
const maxMessage = 1 << 10

// small is what is sent where an answer is too large: an error keeps its code.
func (a Answer) small() Answer {
	if a.Err == nil {
		return Answer{Err: ErrResultTooLarge}
	}
	message := a.Err.Message
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "")
	}
	return Answer{Err: event.NewError(a.Err.Code, message)}
}

// encode returns the answer as data. Details of an error that are no JSON stay away.
func (a Answer) encode() (contentType string, data []byte) {
	if a.Err == nil {
		return a.Result.ContentType, a.Result.Data
	}
	data, err := json.Marshal(a.Err)
	if err != nil {
		data, _ = json.Marshal(event.NewError(a.Err.Code, a.Err.Message)) //nolint:errchkjson // texts alone can be encoded
	}
	return event.JSON.ContentType(), data
}

func (r *Requests) send(ctx context.Context, to Address, request event.Event, a Answer) error {
	contentType, data := a.encode()
	attributes := event.Attributes{
		Source:      r.app,
		Type:        typeAnswer,
		Subject:     to.Instance,
		ContentType: contentType,
		Data:        data,
		Extensions:  []event.Extension{{Name: event.ExtCausationID, Value: request.ID()}},
		KeepData:    true,
	}
	if a.Err != nil {
		attributes.Extensions = append(attributes.Extensions, event.Extension{Name: event.ExtReplyError, Value: "true"})
	}
	e := attributes.Event()
	if e.Validate() != nil { // a handler may have said anything about its result
		e = e.WithData("application/octet-stream", data)
	}
	return r.style.Send(ctx, to.Topic, e, true)
}

// Read reads an answer. The error of one that says no is an *[event.Error]; v, a pointer,
// is filled from the result where there is one.
func (r *Requests) Read(answer event.Event, v any) error {
	if answer.Extension(event.ExtReplyError) != "" {
		no := new(event.Error)
		if err := json.Unmarshal(answer.Data(), no); err != nil {
			return errors.New("request: an answer that is an error can't be read")
		}
		return no
	}
	if len(answer.Data()) == 0 {
		return nil
	}
	return r.style.Decode(answer, v)
}
