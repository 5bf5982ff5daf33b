package event

import (
	"hash/maphash"
	"strings"
	"sync/atomic"
)

// head holds the attributes that are the same for most events of a type, and what
// follows from them alone. Heads are interned and compared by pointer first.
type head struct {
	source, typ, contentType, schema string

	bad   error    // why the four aren't valid
	form  dataForm // how the data goes into JSON
	json  []byte   // the four as members of a JSON object, unless bad
	count int      // how many of the four there are
	size  int      // bytes of their names and values
}

var noHead = makeHead("", "", "", "")

// heads interns the attributes that most events of a type share. It is a
// direct-mapped cache: bounded whatever types arrive, without locks, and a
// collision costs an allocation, never a wrong head.
var (
	heads    [512]atomic.Pointer[head]
	headSeed = maphash.MakeSeed()
)

// maxInterned keeps the cache within about 2 MiB whatever arrives.
const maxInterned = 1 << 10

// intern returns the head with the four attributes. It keeps none of the strings:
// they may be views of a buffer, or parts of a large one.
func intern(source, typ, contentType, schema string) *head {
	// Type and source tell events apart well enough for an index.
	sum := maphash.String(headSeed, typ)*31 + maphash.String(headSeed, source) + uint64(len(contentType))
	slot := &heads[sum>>16%uint64(len(heads))]
	if h := slot.Load(); h != nil && h.is(source, typ, contentType, schema) {
		return h
	}
	h := makeHead(source, typ, contentType, schema)
	if h.size <= maxInterned {
		slot.Store(h)
	}
	return h
}

// makeHead returns a new head, whose strings are parts of one of its own.
func makeHead(source, typ, contentType, schema string) *head {
	var b strings.Builder // a sum of strings of which only one isn't empty would be that string
	b.Grow(len(source) + len(typ) + len(contentType) + len(schema))
	for _, s := range [...]string{source, typ, contentType, schema} {
		b.WriteString(s)
	}
	all := b.String()
	h := &head{form: formOf(contentType)}
	for _, a := range [...]struct {
		to   *string
		name string
		n    int
	}{
		{&h.source, "source", len(source)},
		{&h.typ, "type", len(typ)},
		{&h.contentType, "datacontenttype", len(contentType)},
		{&h.schema, "dataschema", len(schema)},
	} {
		if a.n == 0 {
			continue
		}
		*a.to, all = all[:a.n], all[a.n:]
		h.count++
		h.size += len(a.name) + a.n
	}
	if h.bad = h.validate(); h.bad == nil {
		h.json = h.appendJSON(nil)
	}
	return h
}

func (h *head) is(source, typ, contentType, schema string) bool {
	return h.typ == typ && h.source == source && h.contentType == contentType && h.schema == schema
}

func (h *head) equal(o *head) bool {
	return h == o || h.is(o.source, o.typ, o.contentType, o.schema)
}
