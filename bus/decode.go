package bus

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/leat-go/leat/event"
)

// DecodeError is the failure of an event whose data is not what its handler takes.
// It is permanent. Its text never quotes the data; the decoder's own error, which
// may, is behind Unwrap.
type DecodeError struct {
	Type        string       // of the event
	ContentType string       // of the data
	Into        reflect.Type // the handler's
	Where       string       // field or offset, where the decoder tells
	Err         error        // the decoder's; it may quote the data
}

// Error names type, content type and place, and quotes no data.
func (e *DecodeError) Error() string {
	s := fmt.Sprintf("bus: data of %s (%q) is no %v", e.Type, e.ContentType, e.Into)
	if e.Where != "" {
		s += ": " + e.Where
	}
	return s
}

// Unwrap returns the decoder's error.
func (e *DecodeError) Unwrap() error { return e.Err }

// decode fills v from an event's data with the codec of its content type.
func (b *Bus) decode(m *message, e event.Event, v any) error {
	codec := b.codecFor(m, e.ContentType())
	if codec == nil {
		return &DecodeError{Type: e.Type(), ContentType: e.ContentType(), Into: m.goType, Where: "no codec for this content type"}
	}
	if err := codec.Decode(e.Data(), v); err != nil {
		return &DecodeError{Type: e.Type(), ContentType: e.ContentType(), Into: m.goType, Where: where(err, m.goType), Err: err}
	}
	return nil
}

func (b *Bus) codecFor(m *message, contentType string) event.Codec {
	if contentType == "" || contentType == m.codec.ContentType() {
		return m.codec
	}
	mt := mediaType(contentType)
	if c := b.codecs[mt]; c != nil {
		return c
	}
	if strings.HasSuffix(mt, "+json") {
		return b.codecs[event.JSON.ContentType()]
	}
	return nil
}

// Codes of causes that the Bus gives; an [event.Error] in the chain has its own.
const (
	codeHandler = "handler"      // the handler failed too often
	codeFinal   = "permanent"    // the handler failed for good
	codePanic   = "panic"        // the handler panicked too often
	codeDecode  = "decode"       // bytes that are no event, or data that is no message
	codeInvalid = "invalid"      // refused by the catalog
	codeNewer   = "newer"        // a newer schema version than the catalog knows
	codeUnknown = "unknown-type" // no handler, and the group is strict
	codeLimit   = "broker-limit" // delivered as often as the broker allows
	codePublish = "publish"      // what it published was refused for good
)

// invalidError is a permanent failure with a code of the Bus.
type invalidError struct {
	code string
	err  error
}

func (e *invalidError) Error() string { return e.err.Error() }
func (e *invalidError) Unwrap() error { return e.err }

// codeOf returns the code of a cause.
func codeOf(err error, final bool) string {
	var invalid *invalidError
	var undecodable *DecodeError
	var panicked *PanicError
	switch {
	case event.CodeOf(err) != "":
		return event.CodeOf(err)
	case errors.Is(err, event.ErrNewerVersion):
		return codeNewer
	case errors.As(err, &invalid):
		return invalid.code
	case errors.As(err, &undecodable):
		return codeDecode
	case errors.As(err, &panicked):
		return codePanic
	case final:
		return codeFinal
	default:
		return codeHandler
	}
}

// final reports whether a failure is permanent by its kind, marked or not.
func final(err error) bool {
	var invalid *invalidError
	var undecodable *DecodeError
	return errors.As(err, &invalid) || errors.As(err, &undecodable)
}

// Decode returns the message that an event carries, decoded as a handler of T would
// get it: for raw handlers and for tests. It refuses an event of another type.
func Decode[T any](b *Bus, e event.Event) (T, error) {
	var v T
	m := b.messageOf(reflect.TypeFor[T]())
	if m.err != nil {
		return v, m.err
	}
	if e.Type() != m.typ {
		return v, fmt.Errorf("bus: event of type %q is no %v", e.Type(), m.goType)
	}
	e, err := b.upcast(e)
	if err == nil {
		err = b.decode(m, e, &v)
	}
	return v, err
}

// TypeOf returns the event type that values of T have.
func TypeOf[T any](b *Bus) (string, error) {
	m := b.messageOf(reflect.TypeFor[T]())
	return m.typ, m.err
}
