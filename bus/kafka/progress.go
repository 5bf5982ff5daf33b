package kafka

import (
	"encoding/base64"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
)

// progress is what is known of a partition above the offset that is committed: which
// records are settled already, and how often the others have failed. It rides in the
// metadata of the commit, so that the next owner repeats neither. Other clients
// ignore it, and leat ignores theirs.
type progress struct {
	settled  []span // in order, apart from each other
	failures map[int64]int32
	end      int64 // offset behind the last record that was seen
	delayed  int   // records that wait for their NotBefore
}

func (p *progress) fail(offset int64, n int32) {
	if p.failures == nil {
		p.failures = make(map[int64]int32)
	}
	p.failures[offset] = n
}

// progressPrefix names the format. A change of it gets another number; what has an
// unknown one is no error, the records are delivered once more.
const progressPrefix = "leat1:"

// unbegunMetadata is that of the offset at which a group starts: as long as it stands there,
// the group has handled nothing of the partition, nor moved anything away.
const unbegunMetadata = "leat:unbegun"

// maxMetadata is offset.metadata.max.bytes of a broker that nobody configured.
const maxMetadata = 4096

// encode returns at most max bytes; what finds no room is left out: first failures,
// then what was settled far ahead.
func (p *progress) encode(base int64, limit int) string {
	if len(p.settled) == 0 && len(p.failures) == 0 && p.delayed == 0 {
		return ""
	}
	room := base64.RawStdEncoding.DecodedLen(limit - len(progressPrefix))
	if room < 8 {
		return ""
	}
	b := binary.AppendUvarint(nil, uint64(p.delayed))
	spans := p.runs(base, room-len(b)-1)
	if packed := p.bits(base, room-len(b)-1); len(packed.b) > 0 && packed.covers > spans.covers {
		spans = packed
	}
	b = append(b, spans.kind)
	b = binary.AppendUvarint(b, uint64(len(spans.b)))
	b = append(b, spans.b...)
	last := base
	for _, offset := range slices.Sorted(maps.Keys(p.failures)) {
		f := binary.AppendUvarint(nil, uint64(offset-last))
		f = binary.AppendUvarint(f, uint64(p.failures[offset]))
		if len(b)+len(f) > room {
			break
		}
		b, last = append(b, f...), offset
	}
	return progressPrefix + base64.RawStdEncoding.EncodeToString(b)
}

// packing is one of two ways to write down what is settled: as lengths of runs, which
// is short where little is open, or as a bit for each offset, which is never long.
type packing struct {
	kind   byte
	b      []byte
	covers int // how many settled offsets it tells of
}

const (
	asRuns = 'r'
	asBits = 'b'
)

// runs writes gap and length of each span.
func (p *progress) runs(base int64, room int) packing {
	out := packing{kind: asRuns}
	last := base
	for _, s := range p.settled {
		b := binary.AppendUvarint(out.b, uint64(s.from-last))
		b = binary.AppendUvarint(b, uint64(s.to-s.from))
		if len(b)+binary.MaxVarintLen16 > room {
			break
		}
		out.b, last = b, s.to
		out.covers += int(s.to - s.from)
	}
	return out
}

// bits writes a bit for each offset from the base on.
func (p *progress) bits(base int64, room int) packing {
	out := packing{kind: asBits}
	bits := int64(max(room-binary.MaxVarintLen16, 0)) * 8
	for _, s := range p.settled {
		for o := s.from; o < min(s.to, base+bits); o++ {
			i := o - base
			for int64(len(out.b)) <= i/8 {
				out.b = append(out.b, 0)
			}
			out.b[i/8] |= 1 << (i % 8)
			out.covers++
		}
	}
	return out
}

// decodeProgress reads what encode wrote; anything else is nothing.
func decodeProgress(base int64, metadata string) (p progress) {
	text, ok := strings.CutPrefix(metadata, progressPrefix)
	if !ok {
		return progress{}
	}
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return progress{}
	}
	r := varints{b: b}
	p.delayed = int(r.next())
	kind := r.byte()
	spans := r.bytes(r.next())
	switch kind {
	case asRuns:
		p.settled = readRuns(base, spans)
	case asBits:
		p.settled = readBits(base, spans)
	default:
		return progress{}
	}
	for last := base; len(r.b) > 0 && !r.bad; {
		last += int64(r.next())
		p.fail(last, int32(r.next()))
	}
	if r.bad {
		return progress{}
	}
	return p
}

// tells reports whether metadata has all that is settled below an offset: there may
// have been no room for it.
func (p *progress) tells(base int64, metadata string, below int64) bool {
	if len(p.settled) == 0 || p.settled[0].from >= below {
		return true
	}
	told := decodeProgress(base, metadata).settled
	for _, want := range p.settled {
		at, to := want.from, min(want.to, below)
		for len(told) > 0 && told[0].from <= at && at < to {
			if at = max(at, told[0].to); at < to || told[0].to == want.to {
				told = told[1:]
			}
		}
		if at < to {
			return false
		}
	}
	return true
}

func readRuns(base int64, b []byte) (out []span) {
	r := varints{b: b}
	for last := base; len(r.b) > 0; {
		from := last + int64(r.next())
		to := from + int64(r.next())
		if r.bad || from < last || to <= from {
			return nil
		}
		out, last = append(out, span{from, to}), to
	}
	return out
}

func readBits(base int64, b []byte) (out []span) {
	for i := range int64(len(b)) * 8 {
		if b[i/8]&(1<<(i%8)) == 0 {
			continue
		}
		o := base + i
		if n := len(out); n > 0 && out[n-1].to == o {
			out[n-1].to++
			continue
		}
		out = append(out, span{o, o + 1})
	}
	return out
}

// varints reads unsigned varints; bad is set when there are none.
type varints struct {
	b   []byte
	bad bool
}

func (r *varints) next() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > 1<<62 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *varints) byte() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *varints) bytes(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}
