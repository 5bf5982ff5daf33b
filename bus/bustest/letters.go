package bustest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/leat-go/leat/event"
)

// letter is a dead letter.
type letter struct {
	event.DeadLetter

	en     *entry
	parked bool // its key is, as long as it is there
}

// bury makes an entry a dead letter, and parks its key if it is to. What is buried of
// a parked key joins those that are.
func (b *broker) bury(en *entry, cause event.Cause, park bool) {
	en.g.remove(en)
	b.dead = append(b.dead, letter{
		DeadLetter: event.DeadLetter{
			Handle: strconv.FormatUint(en.index, 10), Topic: en.topic, Group: en.g.name, Event: en.e,
			Position: event.Position{Offset: en.offset}, Cause: cause, FailedAt: time.Now(),
		},
		en:     en,
		parked: en.e.Key() != "" && (park || b.front(en) != nil),
	})
}

// exhume takes a dead letter out.
func (b *broker) exhume(i int) letter {
	l := b.dead[i]
	b.dead = slices.Delete(b.dead, i, i+1)
	return l
}

// DeadLetters implements [event.DeadLetters].
func (p *endpoint) DeadLetters(_ context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		p.b.moveBehind()
		for _, l := range slices.Clone(p.b.dead) {
			if l.Topic == topic && l.Group == group && !yield(l.DeadLetter, nil) {
				return
			}
		}
	}
}

// find returns where a dead letter stands.
func (p *endpoint) find(d event.DeadLetter) (int, error) {
	if p.gone {
		return 0, event.ErrClosed
	}
	p.b.moveBehind()
	i := slices.IndexFunc(p.b.dead, func(l letter) bool {
		return l.Handle == d.Handle && l.Topic == d.Topic && l.Group == d.Group
	})
	if i < 0 {
		return 0, event.ErrNotFound
	}
	return i, nil
}

// Redrive implements [event.DeadLetters]. What parks its key takes its old place again,
// with all that is behind it; any other comes when it is driven.
func (p *endpoint) Redrive(_ context.Context, d event.DeadLetter, repaired ...event.Event) error {
	i, err := p.find(d)
	if err != nil {
		return err
	}
	old := p.b.dead[i].en
	e, err := repair(old.e, repaired)
	if err != nil {
		return err
	}
	front := p.b.front(old)
	if front == nil {
		p.b.exhume(i)
		p.b.serial++
		p.b.again(old, e, int64(p.b.serial))
		return nil
	}
	if front.en != old {
		return fmt.Errorf("bustest: %s is parked behind %s: redrive that, or the key", old.e.ID(), front.Event.ID())
	}
	p.b.exhume(i)
	p.b.again(old, e, old.offset)
	p.b.redriveAll(func(l *letter) bool { return l.parked && l.en.g == old.g && sameKey(l.en, old) })
	return nil
}

// repair returns the event that goes in the place of a failed one.
func repair(failed event.Event, repaired []event.Event) (event.Event, error) {
	if len(repaired) == 0 {
		return failed, nil
	}
	if len(repaired) > 1 {
		return failed, errors.New("bustest: one repaired event for a dead letter")
	}
	e := repaired[0]
	if e.ID() == failed.ID() {
		return failed, fmt.Errorf("bustest: the repaired event has the id %q of the failed one", e.ID())
	}
	if e.Extension(event.ExtCausationID) != failed.ID() {
		e = e.WithExtension(event.ExtCausationID, failed.ID())
	}
	return e, e.Validate()
}

// again sends the event of a dead letter to its group alone.
func (b *broker) again(old *entry, e event.Event, offset int64) {
	en := b.entry(old.g, old.topic, e, b.nameOf(e))
	en.redriven, en.offset = true, offset
	old.g.insert(en)
}

// redriveAll redrives some of the dead letters, at their old places, and returns how
// many.
func (b *broker) redriveAll(some func(*letter) bool) (n int) {
	for i := 0; i < len(b.dead); {
		if !some(&b.dead[i]) {
			i++
			continue
		}
		l := b.exhume(i)
		b.again(l.en, l.en.e, l.en.offset)
		n++
	}
	return n
}

// RedriveKey implements [event.DeadLetters].
func (p *endpoint) RedriveKey(_ context.Context, topic, group, key string) (int, error) {
	if p.gone {
		return 0, event.ErrClosed
	}
	p.b.moveBehind()
	return p.b.redriveAll(func(l *letter) bool {
		return l.Topic == topic && l.Group == group && l.Event.Key() == key
	}), nil
}

// Discard implements [event.DeadLetters].
func (p *endpoint) Discard(_ context.Context, d event.DeadLetter) error {
	i, err := p.find(d)
	if err == nil {
		p.b.exhume(i)
	}
	return err
}
