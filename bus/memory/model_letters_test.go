package memory_test

import (
	"errors"
	"slices"
	"time"

	"github.com/leat-go/leat/event"
)

// front returns the dead letter that a key is parked behind, or nil.
func (m *model) front(key string) *owed {
	for _, o := range m.dead {
		if o.parked && o.key == key {
			return o
		}
	}
	return nil
}

// recall takes away what a member has in hand of a parked key and has not begun.
func (m *model) recall(x *modelMember, key string, before int) {
	want := map[event.Token]bool{}
	for _, o := range m.owed {
		if o.key != key || o.holder != x || o.begun {
			continue
		}
		if !o.held {
			o.attempts--
		}
		want[o.token] = true
		m.back(o, 0)
	}
	for _, t := range x.lost[before:] {
		if !want[t] {
			m.failf("OnLost tells of %v, which was not taken away", t)
		}
		delete(want, t)
	}
	if len(want) > 0 {
		m.failf("OnLost doesn't tell of %v", want)
	}
}

// moveBehind moves what belongs behind parked keys, and lets the channel do so.
func (m *model) moveBehind() {
	parked := false
	for _, o := range slices.Clone(m.owed) {
		if m.front(o.key) == nil {
			continue
		}
		parked = true
		if o.holder == nil && (o.retry || !o.waits(time.Now())) && len(m.dead) < modelDead {
			m.logf("%s moves behind %s", o.id, m.front(o.key).id)
			m.owed = slices.DeleteFunc(m.owed, func(x *owed) bool { return x == o })
			o.parked, o.retry, o.due = true, false, time.Time{}
			m.dead = append(m.dead, o)
		}
	}
	if parked {
		m.lag()
	}
}

func (m *model) letters() []event.DeadLetter {
	var ls []event.DeadLetter
	for l, err := range m.ch.DeadLetters(m.ctx(), m.topic, m.group) {
		m.check(err)
		ls = append(ls, l)
	}
	if len(ls) != len(m.dead) {
		m.failf("%d dead letters, want %d", len(ls), len(m.dead))
	}
	for i, l := range ls {
		if l.Event.ID() != m.dead[i].id {
			m.failf("dead letter %d is %s, want %s", i, l.Event.ID(), m.dead[i].id)
		}
	}
	return ls
}

// redriven takes a dead letter back.
func (m *model) redriven(i int) {
	o := m.dead[i]
	m.dead = slices.Delete(m.dead, i, i+1)
	o.attempts, o.failures, o.mark, o.parked = 0, 0, event.MarkRedriven, false
	at, _ := slices.BinarySearchFunc(m.owed, o.offset, func(x *owed, offset int64) int { return int(x.offset - offset) })
	m.owed = slices.Insert(m.owed, at, o)
}

// redrivenAll takes dead letters of a key back and returns how many.
func (m *model) redrivenAll(key string, parkedOnly bool) (n int) {
	for i := 0; i < len(m.dead); {
		if m.dead[i].key == key && (m.dead[i].parked || !parkedOnly) {
			m.redriven(i)
			n++
			continue
		}
		i++
	}
	return n
}

func (m *model) redrive() {
	ls := m.letters()
	if len(ls) == 0 {
		return
	}
	i := m.r.IntN(len(ls))
	o := m.dead[i]
	err := m.ch.Redrive(m.ctx(), ls[i])
	if front := m.front(o.key); front != nil && front != o {
		if err == nil || errors.Is(err, event.ErrNotFound) {
			m.failf("Redrive of %s behind %s: %v", o.id, front.id, err)
		}
		return
	}
	m.check(err)
	if o.parked {
		m.redrivenAll(o.key, true)
	} else {
		m.redriven(i)
	}
	m.logf("redriven %s", o.id)
	if err := m.ch.Redrive(m.ctx(), ls[i]); !errors.Is(err, event.ErrNotFound) {
		m.failf("a second Redrive: %v", err)
	}
}

func (m *model) redriveKey(key string) {
	n, err := m.ch.RedriveKey(m.ctx(), m.topic, m.group, key)
	m.check(err)
	m.logf("redriven %d of %s", n, key)
	if want := m.redrivenAll(key, false); n != want {
		m.failf("RedriveKey returned %d, want %d", n, want)
	}
}

// cancel cancels an event of those that are owed, or another.
func (m *model) cancel() {
	id := "nobody's"
	if len(m.owed) > 0 {
		id = m.owed[m.r.IntN(len(m.owed))].id
	}
	before := len(m.owed)
	m.owed = slices.DeleteFunc(m.owed, func(o *owed) bool { return o.id == id && o.waits(time.Now()) && !o.retry })
	found, err := m.ch.Cancel(m.ctx(), m.topic, id)
	m.check(err)
	m.logf("%v cancelled %s: %v", time.Now().Unix(), id, found)
	if want := len(m.owed) < before; found != want {
		m.failf("Cancel of %s returned %v", id, found)
	}
}

func (m *model) discard() {
	if ls := m.letters(); len(ls) > 0 {
		i := m.r.IntN(len(ls))
		m.check(m.ch.Discard(m.ctx(), ls[i]))
		m.dead = slices.Delete(m.dead, i, i+1)
	}
}
