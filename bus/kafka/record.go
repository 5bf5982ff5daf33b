package kafka

import (
	"encoding/hex"
	"unsafe"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// The client's headers are those of package event by another name, so that slices
// of them need no copy. This line does not compile when that changes.
var _ = event.Header(kgo.RecordHeader{})

func toRecord(hs []event.Header) []kgo.RecordHeader {
	return unsafe.Slice((*kgo.RecordHeader)(unsafe.SliceData(hs)), len(hs))
}

func fromRecord(hs []kgo.RecordHeader) []event.Header {
	return unsafe.Slice((*event.Header)(unsafe.SliceData(hs)), len(hs))
}

// recordOverhead is more than what a batch and a record have around keys, values and
// headers: 61 bytes and at most 5 varints.
const recordOverhead = 128

// sizeOf returns at least what a record needs on the wire, uncompressed.
func sizeOf(r *kgo.Record) int {
	n := recordOverhead + len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value) + 6
	}
	return n
}

// encode fills a record with an event in the binary mode of the Kafka binding of
// CloudEvents. The key is the record's key, so that it decides the partition; an
// event without one has none, not an empty one, which would be a key like another.
func encode(r *kgo.Record, e event.Event) error {
	hs, err := event.AppendHeaders(make([]event.Header, 0, 8), event.KafkaHeaders, e)
	if err != nil {
		return err
	}
	r.Headers = toRecord(hs)
	r.Value = e.Data()
	if key := e.Key(); key != "" {
		r.Key = unsafe.Slice(unsafe.StringData(key), len(key))
	}
	return nil
}

// reader decodes events. Their data is a part of the record: the client never
// changes what it fetched.
var reader = event.Decoder{MaxBytes: -1, KeepData: true}

// decode returns the event of a record, in binary or structured mode. Without an
// attribute of its own, the record's key is the event's.
func decode(r *kgo.Record) (event.Event, error) {
	e, err := reader.ParseHeaders(event.KafkaHeaders, fromRecord(r.Headers), r.Value)
	if err != nil {
		return event.Event{}, err
	}
	if len(r.Key) > 0 && e.Key() == "" {
		return withKey(e, r.Key), nil
	}
	return e, nil
}

// withKey gives an event the key that another client wrote, as text where it is
// text, else in hexadecimal digits.
func withKey(e event.Event, key []byte) event.Event {
	if keyed := e.WithKey(string(key)); keyed.Validate() == nil {
		return keyed
	}
	return e.WithKey("0x" + hex.EncodeToString(key[:min(len(key), event.MaxAttributeValue/2-1)]))
}
