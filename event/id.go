package event

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"strconv"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewID returns a ULID. Within a process ids only grow, also when the clock steps
// back and across goroutines. The entropy is random at each new millisecond: ids
// are unique, not secret.
func NewID() string {
	var b [ulid.EncodedSize]byte
	putNewID(b[:], time.Now())
	return string(b[:])
}

// putNewID writes the next ULID to b and returns its length.
func putNewID(b []byte, now time.Time) int {
	u := ids.next(uint64(max(now.UnixMilli(), 0)))
	if err := u.MarshalTextTo(b[:ulid.EncodedSize]); err != nil {
		panic("event: " + err.Error()) // the buffer is too small: a bug of this package
	}
	return ulid.EncodedSize
}

// ids is the one sequence of the process.
var ids sequence

// sequence makes ULIDs that only grow. The zero sequence is ready for use.
type sequence struct {
	mu sync.Mutex
	ms uint64 // of the last id, 48 bits
	hi uint16 // its entropy, 80 bits
	lo uint64
}

func (s *sequence) next(ms uint64) (u ulid.ULID) {
	s.mu.Lock()
	if ms > s.ms {
		s.restart(ms)
	} else { // the same millisecond, or a clock that stepped back
		s.lo++
		if s.lo == 0 {
			s.hi++
			if s.hi == 0 {
				s.restart(s.ms + 1)
			}
		}
	}
	ms, hi, lo := s.ms, s.hi, s.lo
	s.mu.Unlock()
	binary.BigEndian.PutUint16(u[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(ms))
	binary.BigEndian.PutUint16(u[6:], hi)
	binary.BigEndian.PutUint64(u[8:], lo)
	return u
}

func (s *sequence) restart(ms uint64) {
	var b [10]byte
	rand.Read(b[:]) // never fails
	s.ms = ms
	s.hi = binary.BigEndian.Uint16(b[:2]) >> 1 // room to count up
	s.lo = binary.BigEndian.Uint64(b[2:])
}

// derivedEncoding is base32 of the alphabet that ULIDs use, so that all ids look alike.
var derivedEncoding = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// DerivedID returns the id of the ordinal-th event that a handler of group
// publishes because of the event (source, id): "d-" and 26 characters of base32,
// 128 bits of SHA-256. The same cause makes the same ids on every redelivery.
func DerivedID(group, source, id string, ordinal int) string {
	var b []byte
	for _, s := range []string{group, source, id} {
		b = strconv.AppendInt(b, int64(len(s)), 10) // lengths keep ("ab", "c") and ("a", "bc") apart
		b = append(b, ':')
		b = append(b, s...)
	}
	b = strconv.AppendInt(b, int64(ordinal), 10)
	sum := sha256.Sum256(b)
	return "d-" + derivedEncoding.EncodeToString(sum[:16])
}
