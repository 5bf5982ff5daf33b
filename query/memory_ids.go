package query

// ids knows the latest events by their ids.
type ids struct {
	ring  []known
	next  int // to be replaced, once the ring is full
	limit int

	steps map[identity]int // that were applied
	names map[string]int   // of events and their causes
}

type identity struct{ source, id string }

// known is an event that a model was done with.
type known struct {
	identity

	cause   string
	applied bool
}

func newIDs(limit int) ids {
	return ids{limit: limit, steps: make(map[identity]int), names: make(map[string]int)}
}

// applied reports whether the event of a step was applied lately.
func (k *ids) applied(s Step) bool { return s.ID != "" && k.steps[identity{s.Source, s.ID}] > 0 }

// seen reports whether something is known by an id, or by that of its cause.
func (k *ids) seen(id string) bool { return id != "" && k.names[id] > 0 }

// apply notes an event that was applied.
func (k *ids) apply(s Step) { k.add(known{identity{s.Source, s.ID}, s.Cause, true}) }

// see notes an event that was passed, unless it is known.
func (k *ids) see(s Step) {
	if s.ID == "" || k.names[s.ID] > 0 && (s.Cause == "" || k.names[s.Cause] > 0) {
		return
	}
	k.add(known{identity{s.Source, s.ID}, s.Cause, false})
}

func (k *ids) add(e known) {
	k.count(e, 1)
	if len(k.ring) < k.limit {
		k.ring = append(k.ring, e)
		return
	}
	k.count(k.ring[k.next], -1)
	k.ring[k.next] = e
	k.next = (k.next + 1) % k.limit
}

func (k *ids) count(e known, by int) {
	if e.applied {
		tally(k.steps, e.identity, by)
	}
	tally(k.names, e.id, by)
	tally(k.names, e.cause, by)
}

func tally[K comparable](m map[K]int, key K, by int) {
	if m[key] += by; m[key] == 0 {
		delete(m, key)
	}
}
