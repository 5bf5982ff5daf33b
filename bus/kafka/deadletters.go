package kafka

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var _ event.DeadLetters = (*Channel)(nil)

// letters is what the dead-letter topic of a group says.
type letters struct {
	topic, group string
	name         string // of the dead-letter topic
	of           map[int32]stretch
	folds        map[int32]*fold
}

// letters reads the dead-letter topic of a group, or the partitions of it that which
// names. There is nothing to read for a group or a topic that doesn't exist.
func (ch *Channel) letters(ctx context.Context, topic, group string, which ...int32) (*letters, error) {
	if err := checkGroup(group, topic); err != nil {
		return nil, err
	}
	ls := &letters{topic: topic, group: group, name: deadTopic(topic, group), folds: make(map[int32]*fold)}
	var err error
	if ls.of, err = ch.stretches(ctx, ls.name); err != nil {
		return nil, err
	}
	if len(which) > 0 {
		for n := range ls.of {
			if !slices.Contains(which, n) {
				delete(ls.of, n)
			}
		}
	}
	for n, s := range ls.of {
		f := newFold(false)
		f.aged = s.from
		ls.folds[n] = &f
	}
	old := time.Now().Add(-keepDone)
	err = ch.scan(ctx, ls.name, ls.of, func(r *kgo.Record) bool {
		f := ls.folds[r.Partition]
		f.apply(r)
		f.age(r.Offset, r.Timestamp, old)
		return true
	})
	return ls, err
}

// stretches returns what there is of a topic, up to what is committed; nothing of one
// that doesn't exist.
func (ch *Channel) stretches(ctx context.Context, topic string) (map[int32]stretch, error) {
	return ch.stretchesTo(ctx, topic, (*kadm.Client).ListCommittedOffsets)
}

// stretchesTo returns what there is of a topic, up to what list says.
func (ch *Channel) stretchesTo(
	ctx context.Context, topic string, list func(*kadm.Client, context.Context, ...string) (kadm.ListedOffsets, error),
) (map[int32]stretch, error) {
	adm, err := ch.admin()
	if err != nil {
		return nil, err
	}
	starts, err := listed(ctx, adm.ListStartOffsets, topic)
	if unknown(err) {
		return map[int32]stretch{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: where topic %q begins: %w", topic, err)
	}
	ends, err := listed(ctx, func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
		return list(adm, ctx, topics...)
	}, topic)
	if unknown(err) {
		return map[int32]stretch{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: where topic %q ends: %w", topic, err)
	}
	out := make(map[int32]stretch)
	for n, s := range starts[topic] {
		out[n] = stretch{s.Offset, ends[topic][n].Offset}
	}
	return out, nil
}

// dead counts the letters that nobody redrives, and those that are on their way to
// the redrive topic.
func (ls *letters) dead() (dead, redriven int) {
	for _, f := range ls.folds {
		for _, l := range f.live {
			if l.leaving {
				redriven++
			} else {
				dead++
			}
		}
	}
	return dead, redriven
}

// DeadLetters implements [event.DeadLetters]. The order is that of the brokers' clocks
// between partitions, and exact within one: for a key above all.
func (ch *Channel) DeadLetters(ctx context.Context, topic, group string) iter.Seq2[event.DeadLetter, error] {
	return func(yield func(event.DeadLetter, error) bool) {
		ls, err := ch.letters(ctx, topic, group)
		if err != nil {
			yield(event.DeadLetter{}, err)
			return
		}
		if dead, _ := ls.dead(); dead == 0 {
			return
		}
		err = ch.merge(ctx, ls.name, ls.of, func(r *kgo.Record) bool {
			if l := ls.folds[r.Partition].live[r.Offset]; l == nil || l.leaving {
				return true
			}
			return yield(readLetter(r, topic, group), nil)
		})
		if err != nil {
			yield(event.DeadLetter{}, err)
		}
	}
}

// find returns the letter that a handle names.
func (ls *letters) find(d event.DeadLetter) (*fold, *letter, error) {
	n, offset, err := splitNumbers(d.Handle)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka: the dead letter of %q on topic %q: %w: %w", d.Group, d.Topic, event.ErrNotFound, err)
	}
	f := ls.folds[n]
	if f == nil || f.live[offset] == nil || f.live[offset].leaving {
		return nil, nil, fmt.Errorf("kafka: the dead letter %s of group %q on topic %q: %w", d.Handle, d.Group, d.Topic, event.ErrNotFound)
	}
	return f, f.live[offset], nil
}

// lettersOf reads the partition of a letter.
func (ch *Channel) lettersOf(ctx context.Context, d event.DeadLetter) (*letters, int32, error) {
	n, _, err := splitNumbers(d.Handle)
	if err != nil {
		return nil, 0, fmt.Errorf("kafka: a dead letter of %q on topic %q: %w: %w", d.Group, d.Topic, event.ErrNotFound, err)
	}
	ls, err := ch.letters(ctx, d.Topic, d.Group, n)
	return ls, n, err
}

// Redrive implements [event.DeadLetters]. The member that has the partition sends the
// letter to the group's redrive topic, now or when there is one.
func (ch *Channel) Redrive(ctx context.Context, d event.DeadLetter, repaired ...event.Event) error {
	if len(repaired) > 1 {
		return fmt.Errorf("kafka: %d repaired events in place of one dead letter", len(repaired))
	}
	ls, n, err := ch.lettersOf(ctx, d)
	if err != nil {
		return err
	}
	f, l, err := ls.find(d)
	if err != nil {
		return err
	}
	if l.parked && len(f.keys[l.key]) > 0 && f.keys[l.key][0] != l.offset {
		front := f.front(l.key)
		return fmt.Errorf("kafka: the dead letter %s of group %q on topic %q is parked behind %q: redrive that, or the key",
			d.Handle, d.Group, d.Topic, front)
	}
	text, err := encodeRepaired(d, repaired)
	if err != nil {
		return err
	}
	ch.trim(ctx, ls)
	return ch.write(ctx, ls.note(kindRedrive, n, l.key, []int64{l.offset}, text))
}

// encodeRepaired returns the event in place of a letter, as JSON.
func encodeRepaired(d event.DeadLetter, repaired []event.Event) ([]byte, error) {
	if len(repaired) == 0 {
		return nil, nil
	}
	e := repaired[0]
	switch {
	case d.Raw == nil && e.ID() == d.Event.ID():
		return nil, fmt.Errorf("kafka: the repaired event has the id %q of the failed one: it needs its own", e.ID())
	case d.Raw == nil && e.Key() != d.Event.Key():
		return nil, fmt.Errorf("kafka: the repaired event has the key %q, the failed one %q: their order would be lost",
			e.Key(), d.Event.Key())
	case d.Raw == nil && e.Extension(event.ExtCausationID) == "":
		e = e.WithExtension(event.ExtCausationID, d.Event.ID())
	}
	return event.AppendJSON(nil, e)
}

// note returns a record that says what is to become of letters.
func (ls *letters) note(kind string, n int32, key string, targets []int64, repaired []byte) *kgo.Record {
	var h headers
	h.add(headerKind, kind)
	h.add(headerRepaired, string(repaired))
	r := &kgo.Record{Topic: ls.name, Value: encodeOffsets(targets), Headers: h}
	if key != "" {
		r.Key = []byte(key)
	}
	to(r, n)
	return r
}

// RedriveKey implements [event.DeadLetters].
func (ch *Channel) RedriveKey(ctx context.Context, topic, group, key string) (int, error) {
	ls, err := ch.letters(ctx, topic, group)
	if err != nil {
		return 0, err
	}
	count := 0
	var notes []*kgo.Record
	for n, f := range ls.folds {
		var targets []int64
		for o, l := range f.live {
			if l.key == key && !l.leaving {
				targets = append(targets, o)
			}
		}
		if len(targets) > 0 {
			slices.Sort(targets)
			count += len(targets)
			notes = append(notes, ls.note(kindRedrive, n, key, targets, nil))
		}
	}
	ch.trim(ctx, ls)
	if err := ch.write(ctx, notes...); err != nil {
		return 0, err
	}
	return count, nil
}

// Discard implements [event.DeadLetters].
func (ch *Channel) Discard(ctx context.Context, d event.DeadLetter) error {
	ls, n, err := ch.lettersOf(ctx, d)
	if err != nil {
		return err
	}
	_, l, err := ls.find(d)
	if err != nil {
		return err
	}
	ch.trim(ctx, ls)
	return ch.write(ctx, ls.note(kindDiscard, n, l.key, []int64{l.offset}, nil))
}
