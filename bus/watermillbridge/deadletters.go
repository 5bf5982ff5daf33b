package watermillbridge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"

	"github.com/leat-go/leat/event"
)

// What a Watermill subscriber hands out has to be acknowledged before the next comes:
// nobody can look at a queue and leave it as it is. Those who look at dead letters put
// each back behind the others before they acknowledge it, up to a marker that they put
// there first. Who dies on the way leaves a letter twice, and the next who looks removes
// the older. Of two that look at once, one may move on what the other has put back: so
// what is not known to be older than that is never removed.

const (
	// calm is how long nothing has to come after the marker, where messages overtake each
	// other, until all letters have come.
	calm = time.Second
	// lookTime is how long to wait for the next letter. New members of a group at Kafka
	// wait for some seconds.
	lookTime = 30 * time.Second
)

// fateOf is what becomes of a letter that was looked at.
type fateOf int

const (
	keep fateOf = iota
	remove
)

// DeadLetters implements [event.DeadLetters]. All are read, and put back, before the
// first is yielded: two that look at the same letters at the same time disturb each
// other, and the second waits where it is on the same channel. Close ends it with
// [event.ErrClosed]. Where the broker hides what a killed process held until
// [event.Guarantees].MaxHold, a listing shortly after misses those letters, and a later
// one has them.
func (ch *Channel) DeadLetters(ctx context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		var all []event.DeadLetter
		err := ch.alone(ctx, func() error {
			return ch.look(ctx, topic, group, func(l letter) (fateOf, error) {
				all = append(all, l.DeadLetter)
				return keep, nil
			})
		})
		if err != nil {
			yield(event.DeadLetter{}, err)
			return
		}
		slices.SortStableFunc(all, byTime)
		for _, d := range all {
			if !yield(d, nil) {
				return
			}
		}
	}
}

// byTime compares letters by when they failed.
func byTime(a, b event.DeadLetter) int {
	return cmp.Or(a.FailedAt.Compare(b.FailedAt), cmp.Compare(a.Handle, b.Handle))
}

// Redrive implements [event.DeadLetters]: the letter goes to the redrive topic of its
// group before it is removed.
func (ch *Channel) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	again, err := ch.inPlace(d, repaired)
	if err != nil {
		return err
	}
	if err := ch.ensureRedrive(ctx, d.Topic, d.Group); err != nil {
		return err
	}
	return ch.takeOne(ctx, d, func(l letter) error {
		m := again
		if m == nil {
			m = l.redriven()
		}
		return ch.publish(ctx, redriveTopic(d.Topic, d.Group), m)
	})
}

// inPlace returns the message of the event that goes in place of a dead one; nil: it
// goes itself.
func (ch *Channel) inPlace(d event.DeadLetter, repaired []event.Event) (*message.Message, error) {
	if len(repaired) == 0 {
		return nil, nil //nolint:nilnil // as it says
	}
	e := repaired[0]
	switch {
	case len(repaired) > 1:
		return nil, fmt.Errorf("watermillbridge: %d repaired events in place of one dead letter", len(repaired))
	case d.Raw == nil && e.ID() == d.Event.ID():
		return nil, fmt.Errorf("watermillbridge: the repaired event has the id %q of the failed one: it needs its own", e.ID())
	case d.Raw == nil && e.Key() != d.Event.Key():
		return nil, fmt.Errorf("watermillbridge: the repaired event has the key %q, the failed one %q: their order would be lost",
			e.Key(), d.Event.Key())
	}
	if e.Extension(event.ExtCausationID) == "" && d.Raw == nil {
		e = e.WithExtension(event.ExtCausationID, d.Event.ID())
	}
	return ch.prepare(e, event.MarkRedriven)
}

// RedriveKey implements [event.DeadLetters]. The letters are read and put back, sent, and
// then removed: who looked at them before may have left them in any order.
func (ch *Channel) RedriveKey(ctx context.Context, topic, group, key string) (n int, err error) {
	if err := ch.ensureRedrive(ctx, topic, group); err != nil {
		return 0, err
	}
	err = ch.alone(ctx, func() error {
		var all []letter
		err := ch.look(ctx, topic, group, func(l letter) (fateOf, error) {
			if l.Raw == nil && l.Event.Key() == key {
				all = append(all, l)
			}
			return keep, nil
		})
		if err != nil || len(all) == 0 {
			return err
		}
		slices.SortStableFunc(all, func(a, b letter) int { return byTime(a.DeadLetter, b.DeadLetter) })
		sent := make(map[string]bool)
		for _, l := range all {
			if err = ch.publish(ctx, redriveTopic(topic, group), l.redriven()); err != nil {
				break
			}
			sent[l.Handle] = true
		}
		n = len(sent)
		return errors.Join(err, ch.look(ctx, topic, group, func(l letter) (fateOf, error) {
			if sent[l.Handle] {
				return remove, nil
			}
			return keep, nil
		}))
	})
	return n, err
}

// Discard implements [event.DeadLetters].
func (ch *Channel) Discard(ctx context.Context, d event.DeadLetter) error {
	return ch.takeOne(ctx, d, func(letter) error { return nil })
}

// takeOne removes the letter that d is, once f has done with it what is to be done.
func (ch *Channel) takeOne(ctx context.Context, d event.DeadLetter, f func(letter) error) error {
	found := false
	err := ch.alone(ctx, func() error {
		return ch.look(ctx, d.Topic, d.Group, func(l letter) (fateOf, error) {
			if l.Handle != d.Handle {
				return keep, nil
			}
			if err := f(l); err != nil {
				return keep, err
			}
			found = true
			return remove, nil
		})
	})
	if err == nil && !found {
		return fmt.Errorf("watermillbridge: the dead letter %q of group %q on topic %q: %w", d.Handle, d.Group, d.Topic, event.ErrNotFound)
	}
	return err
}

var errTwoLook = errors.New("watermillbridge: not all dead letters came: somebody else looks at them, or has just stopped")

// alone calls f while nobody else looks at dead letters on this channel.
func (ch *Channel) alone(ctx context.Context, f func() error) error {
	select {
	case ch.looks <- struct{}{}:
		defer func() { <-ch.looks }()
		err := f()
		if err != nil && !errors.Is(err, event.ErrClosed) && ch.over() { // what was under way failed in its own way
			return fmt.Errorf("%w: %w", event.ErrClosed, err)
		}
		return err
	case <-ch.closed:
		return event.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// look shows all dead letters of a group on a topic to f, which says what becomes of
// them. After an error of f all others are kept, and it is returned.
func (ch *Channel) look(ctx context.Context, topic, group string, f func(letter) (fateOf, error)) error {
	if err := ch.ensureLetters(ctx, topic, group); err != nil {
		return err
	}
	r := &round{ch: ch, topic: topic, group: group, id: event.NewID(), show: f, seen: make(map[string]place)}
	return r.run(ctx)
}

// round is a look at the dead letters of a group.
type round struct {
	ch           *Channel
	topic, group string
	id           string
	show         func(letter) (fateOf, error)
	seen         map[string]place // where each letter is now, by handle
	err          error            // of show
	ended        bool             // the marker came
	known        int              // letters that came again since the last new one
}

func (r *round) run(ctx context.Context) error {
	s, err := r.ch.ps.Subscriber(Member{Group: lettersGroup(r.group), Logger: watermill.NopLogger{}})
	if err != nil {
		return err
	}
	life, end := context.WithCancel(ctx)
	defer func() {
		_ = sleep(context.WithoutCancel(ctx), ackTime)
		end()
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		_ = within(closing, "close the subscriber", s.Close) // all is acknowledged
	}()
	subscribed := make(chan struct{})
	go func() {
		select {
		case <-r.ch.closed:
			end()
		case <-subscribed: // from now on it ends after the last Ack was passed on
		}
	}()
	messages, err := s.Subscribe(life, deadTopic(r.topic, r.group))
	close(subscribed)
	if err != nil {
		return fmt.Errorf("watermillbridge: subscribe to %q: %w", deadTopic(r.topic, r.group), err)
	}
	marker := message.NewMessage(r.id, message.Payload("-"))
	marker.Metadata[letterMeta], marker.Metadata[letterRound] = markerName, place{round: r.id}.String()
	if err := r.ch.publish(ctx, deadTopic(r.topic, r.group), marker); err != nil {
		return err
	}
	return r.read(ctx, messages)
}

// read reads letters until all have come.
func (r *round) read(ctx context.Context, messages <-chan *message.Message) error {
	for {
		wait := lookTime
		if r.ended {
			wait = calm
		}
		timer := time.NewTimer(wait)
		select {
		case m, ok := <-messages:
			timer.Stop()
			if !ok {
				return errTwoLook
			}
			if err := r.take(ctx, m); err != nil {
				return err
			}
			if over, err := r.over(); over {
				return err
			}
		case <-timer.C:
			if !r.ended {
				return errTwoLook
			}
			return r.err
		case <-r.ch.closed:
			timer.Stop()
			return event.ErrClosed
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

// over reports whether the look is over. Where messages overtake each other, all letters
// have come when those that were put back come again and again and no other does. When
// they do and the marker doesn't come, somebody else has taken it.
func (r *round) over() (bool, error) {
	most := 0
	if !r.ch.ps.InOrder {
		most = 2*len(r.seen) + 8
	}
	switch {
	case r.ended && (r.ch.ps.InOrder || r.known > most):
		return true, r.err
	case !r.ended && r.known > 10*most:
		return true, errors.Join(r.err, errTwoLook)
	}
	return false, nil
}

// take looks at a message.
func (r *round) take(ctx context.Context, m *message.Message) error {
	at := placeOf(m)
	if m.Metadata[letterMeta] == markerName {
		r.ended = r.ended || at.round == r.id
		m.Ack()
		return nil
	}
	l, err := readLetter(r.topic, r.group, m)
	last, seen := r.seen[l.Handle]
	switch {
	case at.round == r.id:
		r.known++
		return r.putBack(ctx, m)
	case err != nil: // nobody but leat writes here
		return r.putBack(ctx, m)
	case seen && at.before(last): // of somebody who died on the way
		m.Ack()
		return nil
	case seen: // it may be ours, moved on by somebody else
		r.known++
		return r.putBack(ctx, m)
	}
	r.seen[l.Handle], r.known = gone, 0
	fate := keep
	if r.err == nil {
		fate, r.err = r.show(l)
	}
	if fate == keep {
		return r.putBack(ctx, m)
	}
	m.Ack()
	return nil
}

// putBack puts a letter behind the others.
func (r *round) putBack(ctx context.Context, m *message.Message) error {
	next := place{r.id, max(placeOf(m).n+1, time.Now().UnixMilli())}
	copied := message.NewMessage(m.UUID, m.Payload)
	maps.Copy(copied.Metadata, m.Metadata)
	copied.Metadata[letterRound] = next.String()
	if handle := m.Metadata[letterMeta]; handle != "" {
		r.seen[handle] = next
	}
	if err := r.ch.publish(ctx, deadTopic(r.topic, r.group), copied); err != nil {
		m.Nack()
		return err
	}
	m.Ack()
	return nil
}
