package kafka

import (
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"
)

// parkedKeys is what an owner knows of the dead letters of a partition.
type parkedKeys struct {
	fold

	target    int64            // what has to be read before events flow
	committed int64            // of the dead-letter topic
	moving    map[string]int   // events on their way behind a parked key, by key
	released  map[string]bool  // keys that go on behind what is being redriven
	freed     map[string]int64 // keys whose last letter was discarded, and where
	draining  int              // redrives that are being carried out
	barrier   int64            // offset in the redrive topic to be read first
	until     map[int64]int64  // of redrives that are done: their offset, and that barrier
}

// from begins at the place that the owner before has committed.
func (k *parkedKeys) from(b bound) {
	*k = parkedKeys{
		fold: newFold(true), target: b.end, committed: b.committed,
		moving: make(map[string]int), released: make(map[string]bool), until: make(map[int64]int64),
		freed: make(map[string]int64),
	}
	k.next = b.begin
}

// parked reports whether a key is parked.
func (k *parkedKeys) parked(key string) bool {
	return len(k.keys) > 0 && key != "" && len(k.keys[key]) > 0 && !k.released[key]
}

// arrived notes that an event stands behind its key.
func (k *parkedKeys) arrived(key string) {
	if k.moving[key]--; k.moving[key] == 0 {
		delete(k.moving, key)
	}
}

// see takes a record of the dead-letter topic in. It returns the key that it parks, if
// that was not parked before: a letter can be read here before whoever wrote it knows.
func (k *parkedKeys) see(r *kgo.Record) (parks string) {
	if r.Offset < k.next {
		return ""
	}
	before := len(k.keys)
	k.apply(r)
	switch header(r, headerKind) {
	case kindParked:
		if l := k.live[r.Offset]; l != nil && len(k.keys) > before && !k.strayed(l) && k.parked(l.key) {
			return l.key
		}
	case kindDiscard:
		k.discarded(r.Offset, string(r.Key))
	case kindDone:
		k.wait(r.Offset, headerNumber(r, headerUntil))
	}
	return ""
}

// discarded lets a key go on whose last letter was discarded while others were on
// their way behind it: whoever discarded it knew nothing of these.
func (k *parkedKeys) discarded(at int64, key string) {
	letters := k.keys[key]
	late := len(letters) > 0 && letters[0] > at || len(letters) == 0 && k.moving[key] > 0
	if key != "" && late && !k.released[key] {
		k.commands[at] = &command{offset: at, key: key, all: true}
	}
	if len(letters) == 0 {
		k.freed[key] = at
	}
}

// strayed lets a letter go on that was on its way behind another when that was
// discarded: by an owner who is no more.
func (k *parkedKeys) strayed(l *letter) bool {
	at, freed := k.freed[l.key]
	if !l.behind {
		delete(k.freed, l.key) // it is parked anew
		return false
	}
	if freed && k.commands[at] == nil {
		k.commands[at] = &command{offset: at, key: l.key, all: true}
	}
	return freed
}

// wait lets the events of the topic wait until the redrive topic is read up to an
// offset, and so does the next owner.
func (k *parkedKeys) wait(done, until int64) {
	k.until[done] = until
	k.barrier = max(k.barrier, until)
}

// begin returns the redrive to carry out now, if there is one: one at a time, in order,
// and not before all is read that may say that they are done.
func (k *parkedKeys) begin() *command {
	if k.next < k.target || k.draining > 0 || len(k.commands) == 0 {
		return nil
	}
	cmd := k.commands[slices.Min(slices.Collect(maps.Keys(k.commands)))]
	k.draining++
	if k.takesFront(cmd) {
		k.released[cmd.key] = true
	}
	return cmd
}

// end notes that a redrive is done: what it was about is in the redrive topic.
func (k *parkedKeys) end(cmd *command, targets []int64, done, until int64) {
	k.remove(targets)
	delete(k.commands, cmd.offset)
	delete(k.released, cmd.key)
	k.draining--
	k.wait(done, until)
}

// mark returns what is to be committed of the dead-letter topic: from where the next
// owner has to read.
func (k *parkedKeys) mark(t *tenure) (mark, bool) {
	if k.live == nil || k.next < 0 {
		return mark{}, false
	}
	at := k.restart()
	reached := t.again.base(nil)
	for o, until := range k.until {
		if reached >= until {
			delete(k.until, o)
			continue
		}
		at = min(at, o)
	}
	if at == k.committed {
		return mark{}, false
	}
	k.committed = at
	return mark{l: &t.again, at: at}, true
}
