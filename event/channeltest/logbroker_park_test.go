package channeltest

import (
	"context"
	"errors"
	"slices"

	"github.com/leat-go/leat/event"
)

// buryBehind makes a dead letter of what waits behind the front of its key.
func (g *logGroup) buryBehind(p logPartition, off int, r logRecord) {
	c := event.Cause{Code: event.CodeParkedBehind, Text: "behind " + g.frontOf(p.topic, r.e.Key()).Event.ID()}
	g.bury(p, off, r, c)
	g.done[p][off] = true
}

// frontOf returns the oldest dead letter of a parked key.
func (g *logGroup) frontOf(topic, key string) event.DeadLetter {
	for _, d := range g.letters {
		if d.Topic == topic && d.Event.Key() == key {
			return d
		}
	}
	return event.DeadLetter{}
}

// park moves what is in hand of a key and not begun, and what is to come again, behind
// the dead letter, and returns the tokens of the former.
func (m *logMember) park(p logPartition, key string) (lost []event.Token) {
	type behind struct {
		off int
		r   logRecord
	}
	var all []behind
	for t, d := range m.hand {
		if d.p != p || d.begun || d.again != nil {
			continue
		}
		if r := m.b.topic(p.topic)[p.n][d.off]; r.e.Key() == key {
			lost = append(lost, t)
			all = append(all, behind{d.off, r})
			delete(m.hand, t)
		}
	}
	m.g.front[p] = slices.DeleteFunc(m.g.front[p], func(a *logAgain) bool {
		if a.e.Key() != key {
			return false
		}
		all = append(all, behind{a.off, a.logRecord})
		for t, d := range m.hand {
			if d.again == a {
				lost = append(lost, t)
				delete(m.hand, t)
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b behind) int { return a.off - b.off })
	for _, x := range all {
		m.g.buryBehind(p, x.off, x.r)
	}
	return lost
}

func (b *logBroker) Discard(_ context.Context, d event.DeadLetter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	g, err := b.remove(d)
	if err == nil && g.frontOf(d.Topic, d.Event.Key()).Handle == "" {
		delete(g.parked, logKey{d.Topic, d.Event.Key()})
	}
	return err
}

func (b *logBroker) Redrive(_ context.Context, d event.DeadLetter, repaired ...event.Event) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := logKey{d.Topic, d.Event.Key()}
	if g := b.groups[d.Group]; g != nil && g.parked[key] {
		if g.frontOf(d.Topic, key.key).Handle != d.Handle {
			return errors.New("it is parked behind another")
		}
		defer func() {
			b.redriveKey(g, key)
			b.changed()
		}()
	}
	return b.redrive(d, repaired)
}

func (b *logBroker) redrive(d event.DeadLetter, repaired []event.Event) error {
	g, err := b.remove(d)
	if err != nil {
		return err
	}
	if repaired == nil {
		repaired = []event.Event{d.Event}
	}
	for _, e := range repaired {
		if e.ID() != d.Event.ID() && e.Extension(event.ExtCausationID) == "" {
			e = e.WithExtension(event.ExtCausationID, d.Event.ID())
		}
		p := logPartition{d.Topic, int(d.Position.Lane)}
		g.front[p] = append(g.front[p], &logAgain{logRecord: logRecord{e: e, at: d.FailedAt}, off: int(d.Position.Offset) - 1})
	}
	b.changed()
	return nil
}

// redriveKey redrives what is left of a key, which goes on.
func (b *logBroker) redriveKey(g *logGroup, key logKey) (n int) {
	for _, d := range slices.Clone(g.letters) {
		if d.Topic == key.topic && d.Event.Key() == key.key && b.redriveOf(g, d) == nil {
			n++
		}
	}
	if b.flaw != "parks for ever" {
		delete(g.parked, key)
	}
	return n
}

// redriveOf redrives a dead letter of a group; the letter itself doesn't know whose it is.
func (b *logBroker) redriveOf(g *logGroup, d event.DeadLetter) error {
	for name, other := range b.groups {
		if other == g {
			d.Group = name
		}
	}
	return b.redrive(d, nil)
}

func (b *logBroker) Ends(_ context.Context, topic string) (ends []event.Position, _ error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.topics[topic] == nil {
		return nil, nil
	}
	for n, rs := range b.topics[topic] {
		if len(rs) > 0 {
			ends = append(ends, event.Position{Lane: int32(n), Offset: int64(len(rs))})
		}
	}
	return ends, nil
}

func (b *logBroker) RedriveKey(_ context.Context, topic, group, key string) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[group]
	if g == nil {
		return 0, event.ErrNotFound
	}
	return b.redriveKey(g, logKey{topic, key}), nil
}
