package bustest

import "fmt"

// name names an event or a place in a handler, the same in every run: an event by its
// type and id or, where that is random, the how many-th of its type it is.
type name struct {
	typ string
	id  string
	n   int
}

// String returns the name as people read it. Ids that were derived are shortened.
func (n name) String() string {
	switch {
	case n.id == "":
		return fmt.Sprintf("%s #%d", n.typ, n.n)
	case len(n.id) > 16:
		return fmt.Sprintf("%s %s…", n.typ, n.id[:10])
	}
	return n.typ + " " + n.id
}

// symbol stands for a name, so that actions are small and cheap to compare.
type symbol int32

// symbols are the names of an exploration. The symbol 0 stands for none.
type symbols struct {
	of     map[name]symbol
	names  []name
	hashes []uint64
}

func newSymbols() *symbols {
	return &symbols{of: make(map[name]symbol), names: make([]name, 1), hashes: make([]uint64, 1)}
}

func (s *symbols) symbol(n name) symbol {
	sym, known := s.of[n]
	if !known {
		sym = symbol(len(s.names))
		s.of[n] = sym
		s.names = append(s.names, n)
		s.hashes = append(s.hashes, hashOf(n))
	}
	return sym
}

const (
	fnvOffset = 14695981039346656037 // of FNV-1a
	fnvPrime  = 1099511628211
)

func hashOf(n name) uint64 {
	h := mix(fnvOffset, uint64(n.n))
	for _, text := range [...]string{n.typ, n.id} {
		h = mix(h, uint64(len(text)))
		for i := range len(text) {
			h = mix(h, uint64(text[i]))
		}
	}
	return h
}

func mix(h, v uint64) uint64 { return (h ^ v) * fnvPrime }
