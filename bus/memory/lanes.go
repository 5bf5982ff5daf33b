package memory

import "hash/maphash"

// lane is the line of a key's events that have left the inbox and wait, and of who
// has others of the key in hand. While a member has some, only that member gets
// more. An event without a key that comes again has a lane to itself.
//
// A group with one member needs a lane only for what was given back or delayed:
// until the first of these the inbox is order enough.
type lane struct {
	key     string
	queue   int32
	keyed   bool
	parked  bool  // nothing is delivered: it goes to the dead letters
	owner   int32 // member that has events of the key in hand; 0: none
	inHand  int32
	first   int32 // waiting slots, sorted by offset
	last    int32
	hint    int32 // where the latest was put: batches come in order
	bucket  int32 // next lane of the bucket, or of the free lanes
	prev    int32 // in the list
	next    int32
	list    *laneList
	waiting int32
}

// laneList is a list of lanes whose first event can be delivered, or whose events go
// to the dead letters.
type laneList struct{ first, last int32 }

// lanes is the table of a group.
type lanes struct {
	all     []lane
	free    int32
	used    int
	keyed   int
	buckets []int32
}

var laneSeed = maphash.MakeSeed()

const minBuckets = 64

func (t *lanes) bucketOf(queue int32, key string) *int32 {
	h := maphash.String(laneSeed, key) + uint64(queue)*0x9e3779b97f4a7c15
	return &t.buckets[h&uint64(len(t.buckets)-1)]
}

// find returns the lane of a key, or 0.
func (t *lanes) find(queue int32, key string) int32 {
	if t.keyed == 0 {
		return 0
	}
	for i := *t.bucketOf(queue, key); i != 0; i = t.all[i].bucket {
		if l := &t.all[i]; l.queue == queue && l.key == key {
			return i
		}
	}
	return 0
}

// open returns a new lane; key "" is a lane for one event. Pointers to lanes are
// stale then.
func (t *lanes) open(queue int32, key string) int32 {
	t.used++
	i := t.free
	if i != 0 {
		t.free = t.all[i].bucket
	} else {
		if len(t.all) == 0 {
			t.all = append(t.all, lane{})
		}
		i = int32(len(t.all))
		t.all = append(t.all, lane{})
	}
	t.all[i] = lane{queue: queue}
	if key == "" {
		return i
	}
	if t.keyed >= len(t.buckets) {
		t.rehash(max(minBuckets, 2*len(t.buckets)))
	}
	t.keyed++
	b := t.bucketOf(queue, key)
	l := &t.all[i]
	l.key, l.keyed = key, true
	l.bucket, *b = *b, i
	return i
}

func (t *lanes) of(queue int32, key string) int32 {
	if i := t.find(queue, key); i != 0 {
		return i
	}
	return t.open(queue, key)
}

func (t *lanes) rehash(n int) {
	old := t.buckets
	t.buckets = make([]int32, n)
	for _, i := range old {
		for i != 0 {
			l := &t.all[i]
			next := l.bucket
			b := t.bucketOf(l.queue, l.key)
			l.bucket, *b = *b, i
			i = next
		}
	}
}

// close removes an empty lane.
func (t *lanes) close(i int32) {
	l := &t.all[i]
	if l.keyed {
		b := t.bucketOf(l.queue, l.key)
		for *b != i {
			b = &t.all[*b].bucket
		}
		*b = l.bucket
		t.keyed--
	}
	*l = lane{bucket: t.free}
	t.free = i
	t.used--
}

// shrink frees the table of a group that has become idle.
func (t *lanes) shrink() {
	if t.used == 0 && cap(t.all) > keepSlots {
		*t = lanes{}
	}
}

// enlist puts a lane at the end of a list, or at its front.
func (t *lanes) enlist(i int32, to *laneList, front bool) {
	l := &t.all[i]
	l.list = to
	if front {
		l.prev, l.next = 0, to.first
		if to.first != 0 {
			t.all[to.first].prev = i
		} else {
			to.last = i
		}
		to.first = i
		return
	}
	l.prev, l.next = to.last, 0
	if to.last != 0 {
		t.all[to.last].next = i
	} else {
		to.first = i
	}
	to.last = i
}

func (t *lanes) unlist(i int32) {
	l := &t.all[i]
	if l.list == nil {
		return
	}
	if l.prev != 0 {
		t.all[l.prev].next = l.next
	} else {
		l.list.first = l.next
	}
	if l.next != 0 {
		t.all[l.next].prev = l.prev
	} else {
		l.list.last = l.prev
	}
	l.prev, l.next, l.list = 0, 0, nil
}

// lineUp puts a slot into its lane, in order.
func (g *group) lineUp(li, si int32) {
	l := &g.lanes.all[li]
	s := &g.slots.all[si]
	s.lane = li
	before := l.last
	if before != 0 && g.slots.all[before].offset > s.offset {
		before = 0
		if h := l.hint; h != 0 && g.slots.all[h].offset < s.offset {
			before = h
		}
		for {
			next := l.first
			if before != 0 {
				next = g.slots.all[before].next
			}
			if next == 0 || g.slots.all[next].offset > s.offset {
				break
			}
			before = next
		}
	}
	s.prev = before
	if before == 0 {
		s.next, l.first = l.first, si
	} else {
		s.next, g.slots.all[before].next = g.slots.all[before].next, si
	}
	if s.next == 0 {
		l.last = si
	} else {
		g.slots.all[s.next].prev = si
	}
	l.hint = si
	l.waiting++
	if l.parked {
		g.queues[l.queue].behind++
	}
}

// stepOut takes a waiting slot out of its lane.
func (g *group) stepOut(si int32) {
	s := &g.slots.all[si]
	l := &g.lanes.all[s.lane]
	if s.prev != 0 {
		g.slots.all[s.prev].next = s.next
	} else {
		l.first = s.next
	}
	if s.next != 0 {
		g.slots.all[s.next].prev = s.prev
	} else {
		l.last = s.prev
	}
	if l.hint == si {
		l.hint = s.prev
	}
	s.prev, s.next = 0, 0
	l.waiting--
	if l.parked {
		g.queues[l.queue].behind--
	}
}

// open reports whether the first event of a lane can be delivered.
func (g *group) open(l *lane) bool {
	return l.first != 0 && g.slots.all[l.first].state == stateReady
}

// arrange puts a lane where it belongs after something changed in it: into the list
// of its owner, into the queue's for anybody or for parked keys, into none while its
// first event is not due, or away when it is empty. Who can go on is woken.
func (g *group) arrange(li int32, front bool) {
	l := &g.lanes.all[li]
	if l.inHand == 0 {
		l.owner = 0
	}
	if l.parked && l.first != 0 {
		if to := &g.queues[l.queue].parked; l.list != to {
			g.lanes.unlist(li)
			g.lanes.enlist(li, to, false)
		}
		return
	}
	if !g.open(l) {
		g.lanes.unlist(li)
		if l.first == 0 && l.inHand == 0 && !l.parked {
			g.lanes.close(li)
		}
		return
	}
	q := g.queues[l.queue]
	to := &q.runnable
	var m *consumer
	if l.owner != 0 {
		if m = g.member(l.owner); m != nil {
			to = &m.owned
		}
	}
	if l.list == to && !front {
		return
	}
	g.lanes.unlist(li)
	g.lanes.enlist(li, to, front)
	if m != nil {
		g.wakeMember(m)
	} else {
		g.wakeAny(q)
	}
}
