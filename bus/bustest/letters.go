package bustest

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/leat-go/leat/event"
)

// bury makes an entry a dead letter.
func (b *broker) bury(en *entry, cause event.Cause) {
	en.g.remove(en)
	b.dead = append(b.dead, event.DeadLetter{
		Handle: strconv.FormatUint(en.index, 10), Topic: en.topic, Group: en.g.name, Event: en.e,
		Position: event.Position{Offset: en.offset}, Cause: cause, FailedAt: time.Now(),
	})
}

// DeadLetters implements [event.DeadLetters].
func (p *endpoint) DeadLetters(_ context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		for _, d := range slices.Clone(p.b.dead) {
			if d.Topic == topic && d.Group == group && !yield(d, nil) {
				return
			}
		}
	}
}

// exhume takes a dead letter out and returns its entry.
func (p *endpoint) exhume(d event.DeadLetter) (*entry, error) {
	if p.gone {
		return nil, event.ErrClosed
	}
	for i, known := range p.b.dead {
		if known.Handle == d.Handle && known.Topic == d.Topic && known.Group == d.Group {
			p.b.dead = slices.Delete(p.b.dead, i, i+1)
			index, _ := strconv.ParseUint(d.Handle, 10, 64)
			return p.b.all[index], nil
		}
	}
	return nil, event.ErrNotFound
}

// Redrive implements [event.DeadLetters].
func (p *endpoint) Redrive(_ context.Context, d event.DeadLetter, repaired ...event.Event) error {
	if len(repaired) > 1 {
		return errors.New("bustest: one repaired event for a dead letter")
	}
	for _, e := range repaired {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	en, err := p.exhume(d)
	if err != nil {
		return err
	}
	e := en.e
	for _, r := range repaired {
		if e = r; e.Extension(event.ExtCausationID) == "" {
			e = e.WithExtension(event.ExtCausationID, d.Event.ID())
		}
	}
	p.b.serial++
	p.again(en, e, int64(p.b.serial))
	return nil
}

// again sends the event of a dead letter to its group alone.
func (p *endpoint) again(old *entry, e event.Event, offset int64) {
	en := p.b.entry(old.g, old.topic, e, p.b.nameOf(e))
	en.redriven, en.offset = true, offset
	old.g.insert(en)
}

// RedriveKey implements [event.DeadLetters].
func (p *endpoint) RedriveKey(_ context.Context, topic, group, key string) (int, error) {
	n := 0
	for _, d := range slices.Clone(p.b.dead) {
		if d.Topic != topic || d.Group != group || d.Event.Key() != key {
			continue
		}
		en, err := p.exhume(d)
		if err != nil {
			return n, err
		}
		p.again(en, en.e, en.offset)
		n++
	}
	return n, nil
}

// Discard implements [event.DeadLetters].
func (p *endpoint) Discard(_ context.Context, d event.DeadLetter) error {
	_, err := p.exhume(d)
	return err
}
