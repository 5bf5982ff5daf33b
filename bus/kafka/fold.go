package kafka

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// fold is what a partition of a dead-letter topic says when it is read from its
// beginning: which letters are there, which of them are to be sent again, which keys
// are parked. Owners and those who list letters fold the same records and come to the
// same end; owners keep the letters of parked keys alone.
type fold struct {
	ownersOnly bool // keep letters of parked keys alone
	live       map[int64]*letter
	keys       map[string][]int64       // live letters of parked keys, in order, by key
	origins    map[event.Position]int64 // of these: where their events stand in the topic
	commands   map[int64]*command       // redrives that are not done
	next       int64                    // offset behind the last record that was folded
	aged       int64                    // offset behind the last record that is old, and all before it are
}

// letter is one that nobody has removed.
type letter struct {
	offset  int64
	key, id string
	origin  event.Position
	parked  bool
	behind  bool // not for a failure of its own
	leaving bool // it is to be sent again
}

// command is a redrive.
type command struct {
	offset   int64
	key      string
	targets  []int64
	all      bool   // all that is parked of the key
	repaired []byte // an event in place of the only target
}

func newFold(ownersOnly bool) fold {
	return fold{
		ownersOnly: ownersOnly, next: -1,
		live: make(map[int64]*letter), keys: make(map[string][]int64), origins: make(map[event.Position]int64),
		commands: make(map[int64]*command),
	}
}

// apply folds a record.
func (f *fold) apply(r *kgo.Record) {
	if r.Offset < f.next {
		return
	}
	f.next = r.Offset + 1
	if r.Attrs.IsControl() {
		return
	}
	switch kind := header(r, headerKind); kind {
	case kindDead, kindParked:
		f.add(letterOf(r))
	case kindDiscard:
		f.remove(targetsOf(r))
	case kindRedrive:
		f.begin(&command{offset: r.Offset, key: string(r.Key), targets: targetsOf(r), repaired: []byte(header(r, headerRepaired))})
	case kindDone:
		delete(f.commands, headerNumber(r, headerCommand))
		f.remove(targetsOf(r))
	}
}

func letterOf(r *kgo.Record) *letter {
	l := &letter{
		offset: r.Offset, origin: originOf(r),
		parked: header(r, headerKind) == kindParked, behind: header(r, headerCode) == event.CodeParkedBehind,
	}
	if e, err := decode(r); err == nil {
		l.key, l.id = e.Key(), e.ID()
	}
	return l
}

func targetsOf(r *kgo.Record) []int64 {
	offsets, err := offsetsIn(r.Value)
	if err != nil {
		return nil // nobody but leat writes here
	}
	return offsets
}

// add takes a letter in, once.
func (f *fold) add(l *letter) {
	if f.live[l.offset] != nil || f.ownersOnly && !l.parked {
		return
	}
	f.live[l.offset] = l
	if l.parked && l.key != "" {
		offsets := f.keys[l.key]
		i, _ := slices.BinarySearch(offsets, l.offset)
		f.keys[l.key] = slices.Insert(offsets, i, l.offset)
		f.origins[l.origin] = l.offset
	}
}

func (f *fold) remove(offsets []int64) {
	for _, o := range offsets {
		l := f.live[o]
		if l == nil {
			continue
		}
		delete(f.live, o)
		if !l.parked {
			continue
		}
		if f.origins[l.origin] == o {
			delete(f.origins, l.origin)
		}
		rest := slices.DeleteFunc(f.keys[l.key], func(other int64) bool { return other == o })
		if len(rest) == 0 {
			delete(f.keys, l.key)
			continue
		}
		f.keys[l.key] = rest
	}
}

// begin notes a redrive. Who redrives the letter in front redrives all behind it.
func (f *fold) begin(c *command) {
	f.commands[c.offset] = c
	if f.takesFront(c) {
		c.targets = union(c.targets, f.keys[c.key])
	}
	for _, o := range c.targets {
		if l := f.live[o]; l != nil {
			l.leaving = true
		}
	}
}

// takesFront reports whether a redrive is of the letter that a key is parked behind.
func (f *fold) takesFront(c *command) bool {
	parked := f.keys[c.key]
	return c.all || len(parked) > 0 && slices.Contains(c.targets, parked[0])
}

// isLeaving reports whether a letter is sent again already, or was removed.
func (f *fold) isLeaving(offset int64) bool {
	l := f.live[offset]
	return l == nil || l.leaving
}

func union(a, b []int64) []int64 {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// front returns the id of the event that a key is parked behind, "" when it isn't.
func (f *fold) front(key string) string {
	offsets := f.keys[key]
	if len(offsets) == 0 {
		return ""
	}
	return f.live[offsets[0]].id
}

// holds reports whether the event at a position stands behind its parked key already:
// an owner before us has put it there and could not say so any more.
func (f *fold) holds(at event.Position) bool {
	_, there := f.origins[at]
	return there && at.Valid()
}

// restart is the offset from which somebody else has to read to come to the same end,
// as far as it matters to an owner.
func (f *fold) restart() int64 {
	at := f.next
	for o := range f.live {
		at = min(at, o)
	}
	for o := range f.commands {
		at = min(at, o)
	}
	return at
}
