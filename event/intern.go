package event

import (
	"hash/maphash"
	"sync/atomic"
)

// heads interns the attributes that most events of a type share. It is a
// direct-mapped cache: bounded whatever types arrive, without locks, and a
// collision costs an allocation, never a wrong head.
var (
	heads    [512]atomic.Pointer[head]
	headSeed = maphash.MakeSeed()
)

func intern(source, typ, contentType, schema string) *head {
	// Type and source tell events apart well enough for an index.
	sum := maphash.String(headSeed, typ) + uint64(len(source)) + uint64(len(contentType))
	slot := &heads[sum%uint64(len(heads))]
	if h := slot.Load(); h != nil && h.typ == typ && h.source == source && h.contentType == contentType && h.schema == schema {
		return h
	}
	h := &head{source: source, typ: typ, contentType: contentType, schema: schema}
	if h.bytes() <= maxInterned {
		slot.Store(h)
	}
	return h
}

// maxInterned keeps the cache within 512 KiB whatever arrives.
const maxInterned = 1 << 10

func (h *head) bytes() int { return len(h.source) + len(h.typ) + len(h.contentType) + len(h.schema) }
