package event

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
)

// DefaultMaxBytes is the longest input that a [Decoder] takes unless it is told otherwise.
const DefaultMaxBytes = 16 << 20

// Decoder decodes events. It is strict with the envelope, so that all who read an
// event read the same: attributes and members that are given twice, names in
// other cases, other versions of CloudEvents, values of the wrong type, control
// characters, bytes that are no UTF-8 and escapes of half a surrogate pair are
// refused by an *[AttributeError] that names the attribute. The data is opaque.
//
// What a Decoder allocates is bounded by a small multiple of its input's length,
// whatever is in it. The zero Decoder is ready for use.
type Decoder struct {
	MaxBytes int  // longest input, attributes and data together; 0: DefaultMaxBytes, negative: any
	KeepData bool // the event's data may be a part of the input, which nobody may change from now on
}

// bound refuses an input that is too large.
func (d Decoder) bound(n int) error {
	limit := d.MaxBytes
	if limit == 0 {
		limit = DefaultMaxBytes
	}
	if limit < 0 || n <= limit {
		return nil
	}
	return fmt.Errorf("%w: %w", ErrTooLarge, badAttribute("", strconv.Itoa(n)+" bytes, more than "+strconv.Itoa(limit)))
}

// own returns data that an event may keep.
func (d Decoder) own(data []byte) []byte {
	if len(data) == 0 {
		return nil
	}
	if d.KeepData {
		return slices.Clip(data)
	}
	return bytes.Clone(data)
}
