package memory

import "github.com/leat-go/leat/event"

// state says where the event of a slot is.
type state uint8

const (
	stateFree    state = iota
	stateReady         // may be delivered when its lane lets it
	stateDelayed       // not due yet, by its NotBefore; blocks nobody
	stateRetry         // given back with a delay; its lane waits behind it
	stateFetched       // in hand, not begun
	stateBegun         // in hand, a handler runs
	stateHeld          // in hand, between two runs
	stateOrphan        // in the hand of a crashed member
)

func (s state) inHand() bool { return s >= stateFetched }

// slot is an event of a group that has left the inbox and is not settled. Slots
// lie in one slice and name each other by index; 0 is nobody.
type slot struct {
	e        event.Event
	lease    *lease // from the first Begin of this delivery
	at       int64  // when it was accepted
	offset   int64
	gap      int64  // offsets right before that are not for the group
	gen      uint64 // of the delivery; 0 when not in hand
	due      int64  // of stateDelayed and stateRetry
	owner    int32  // member that has it in hand
	queue    int32
	lane     int32 // 0: none
	prev     int32 // in the lane
	next     int32 // in the lane, or of the free slots
	heap     int32 // in the heap of delays, from 1
	attempts int32
	failures int32
	state    state
	mark     event.Mark
	waits    bool // its handler's publish found no room
}

// slots is the slab of a group.
type slots struct {
	all  []slot
	free int32
	used int
	bad  map[int32]*affliction // by index; nil without Faults
}

// keepSlots is how many slots an idle group keeps.
const keepSlots = 1024

// add returns the index of a cleared slot. Pointers into the slab are stale then.
func (s *slots) add() int32 {
	s.used++
	if i := s.free; i != 0 {
		s.free = s.all[i].next
		s.all[i].next = 0
		return i
	}
	if len(s.all) == 0 {
		s.all = append(s.all, slot{})
	}
	s.all = append(s.all, slot{})
	return int32(len(s.all) - 1)
}

func (s *slots) remove(i int32) {
	s.all[i] = slot{next: s.free}
	if s.bad != nil {
		delete(s.bad, i)
	}
	s.free = i
	s.used--
}

// shrink frees the slab of a group that has become idle.
func (s *slots) shrink() {
	if s.used == 0 && cap(s.all) > keepSlots {
		s.all, s.free = nil, 0
	}
}
