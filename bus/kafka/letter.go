package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// The records of a group's dead-letter topic, by the header that says what they are.
// A dead letter is the failed record, unchanged, with the cause in headers beside its
// own. The others say what became of letters.
const (
	kindDead    = "dead"    // a letter
	kindParked  = "parked"  // a letter of a parked key: the first live one of a key is in front
	kindDiscard = "discard" // letters are removed: somebody did not want them any more
	kindRedrive = "redrive" // letters are to be sent again, by whoever owns the partition
	kindDone    = "done"    // they are in the redrive topic
)

// The headers that leat adds. They are read in a group's own topics alone, where no
// publisher writes; in others they are nobody's business and don't pass into these.
const (
	headerPrefix    = "leat_"
	headerKind      = headerPrefix + "kind"
	headerCode      = headerPrefix + "code"
	headerText      = headerPrefix + "text"
	headerHandler   = headerPrefix + "handler"
	headerAttempts  = headerPrefix + "attempts"
	headerFailures  = headerPrefix + "failures"
	headerFirst     = headerPrefix + "first_failed_at"
	headerStack     = headerPrefix + "stack"
	headerOrigin    = headerPrefix + "origin" // where the event stands in its topic
	headerGap       = headerPrefix + "gap"    // offsets right before that of which nothing comes
	headerRaw       = headerPrefix + "raw"    // the value is no event
	headerMark      = headerPrefix + "mark"   // redriven or replayed
	headerRepaired  = headerPrefix + "repaired"
	headerCommand   = headerPrefix + "command"   // offset of the redrive that is done
	headerUntil     = headerPrefix + "until"     // offset behind what it sent to the redrive topic
	headerPartition = headerPrefix + "partition" // where a delayed event comes from
	headerAccepted  = headerPrefix + "accepted"  // when, in ms since 1970
)

// header returns the value of a header of leat's. The last one counts.
func header(r *kgo.Record, name string) string {
	for _, h := range slices.Backward(r.Headers) {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}

func headerNumber(r *kgo.Record, name string) int64 {
	n, err := strconv.ParseInt(header(r, name), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// headers appends headers, those without a value not.
type headers []kgo.RecordHeader

func (h *headers) add(name, value string) {
	if value != "" {
		*h = append(*h, kgo.RecordHeader{Key: name, Value: []byte(value)})
	}
}

func (h *headers) number(name string, n int64) {
	if n != 0 {
		h.add(name, strconv.FormatInt(n, 10))
	}
}

// own returns the headers of a record that are not leat's.
func own(r *kgo.Record) headers {
	return slices.DeleteFunc(slices.Clone(r.Headers), func(h kgo.RecordHeader) bool {
		return strings.HasPrefix(h.Key, headerPrefix)
	})
}

// newLetter returns the dead letter of a slot.
func (l *lane) newLetter(s *slot, kind string, c event.Cause) *kgo.Record {
	c = c.Bounded()
	h := own(s.rec)
	h.add(headerKind, kind)
	h.add(headerCode, c.Code)
	h.add(headerText, c.Text)
	h.add(headerHandler, c.Handler)
	h.number(headerAttempts, int64(c.Attempts))
	h.number(headerFailures, int64(c.Failures))
	if !c.FirstFailedAt.IsZero() {
		h.add(headerFirst, c.FirstFailedAt.UTC().Format(time.RFC3339Nano))
	}
	h.add(headerStack, c.Stack)
	h.origin(s.origin)
	h.number(headerGap, s.gap)
	if s.err != nil {
		h.add(headerRaw, "true")
	}
	r := &kgo.Record{Topic: deadTopic(l.t.topic, l.t.c.sub.Group), Key: s.rec.Key, Value: s.rec.Value, Headers: h}
	to(r, l.partition)
	return r
}

// origin notes where an event stands in its topic.
func (h *headers) origin(p event.Position) {
	if p.Valid() {
		h.add(headerOrigin, p.String())
	}
}

func originOf(r *kgo.Record) event.Position {
	lane, offset, err := splitNumbers(header(r, headerOrigin))
	if err != nil {
		return event.Position{}
	}
	return event.Position{Lane: lane, Offset: offset}
}

// splitNumbers reads what event.Position.String writes.
func splitNumbers(s string) (int32, int64, error) {
	a, b, ok := strings.Cut(s, ":")
	n, err := strconv.ParseInt(a, 10, 32)
	offset, err2 := strconv.ParseInt(b, 10, 64)
	if !ok || err != nil || err2 != nil {
		return 0, 0, fmt.Errorf("kafka: %q is no partition and offset", s)
	}
	return int32(n), offset, nil
}

// markOf returns why a record of the redrive topic comes again, and where its event
// stands in its topic.
func markOf(r *kgo.Record) (event.Mark, event.Position) {
	mark := event.MarkNone
	switch header(r, headerMark) {
	case "redriven":
		mark = event.MarkRedriven
	case "replayed":
		mark = event.MarkReplayed
	}
	return mark, originOf(r)
}

func (h *headers) mark(m event.Mark) {
	switch m {
	case event.MarkRedriven:
		h.add(headerMark, "redriven")
	case event.MarkReplayed:
		h.add(headerMark, "replayed")
	case event.MarkNone:
	}
}

// readLetter makes a dead letter of a record.
func readLetter(r *kgo.Record, topic, group string) event.DeadLetter {
	d := event.DeadLetter{
		Handle: fmt.Sprintf("%d:%d", r.Partition, r.Offset), Topic: topic, Group: group,
		Position: originOf(r), FailedAt: r.Timestamp,
		Cause: event.Cause{
			Code: header(r, headerCode), Text: header(r, headerText), Handler: header(r, headerHandler),
			Attempts: int(headerNumber(r, headerAttempts)), Failures: int(headerNumber(r, headerFailures)),
			Stack: header(r, headerStack),
		},
	}
	if at, err := time.Parse(time.RFC3339Nano, header(r, headerFirst)); err == nil {
		d.Cause.FirstFailedAt = at
	}
	e, err := decode(r)
	if err != nil {
		d.Raw = r.Value
		return d
	}
	d.Event = e
	return d
}

// encodeOffsets and offsetsIn write down the offsets that a record of the dead-letter
// topic is about.
func encodeOffsets(offsets []int64) (b []byte) {
	last := int64(0)
	for _, o := range offsets {
		b, last = binary.AppendVarint(b, o-last), o
	}
	return b
}

var errOffsets = errors.New("kafka: the value is no list of offsets")

func offsetsIn(b []byte) (out []int64, err error) {
	last := int64(0)
	for len(b) > 0 {
		d, n := binary.Varint(b)
		if n <= 0 {
			return nil, errOffsets
		}
		last += d
		out, b = append(out, last), b[n:]
	}
	return out, nil
}
