package kafka

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var (
	_ event.LagReporter = (*Channel)(nil)
	_ event.Quiescer    = (*Channel)(nil)
)

// Lag implements [event.LagReporter]. It counts by offsets, from what the group has
// committed: what aborted transactions and compaction have left out of the log above
// that counts as waiting. Members in this process commit before; what others have
// handled since their last commit counts as waiting too, and so does what is in hand.
func (ch *Channel) Lag(ctx context.Context, topic, group string) (event.Lag, error) {
	if err := checkGroup(group, topic); err != nil {
		return event.Lag{}, err
	}
	ch.commitAll(ctx, group)
	var lag event.Lag
	oldest := time.Time{}
	for _, name := range waitingTopics(topic, group) {
		open, err := ch.openOf(ctx, name, group)
		if err != nil {
			return event.Lag{}, err
		}
		for _, o := range open {
			lag.Waiting += o.waiting
			lag.Delayed += o.delayed
		}
		if name == delayTopic(topic, group) {
			first, overdue, err := ch.overdue(ctx, name, open)
			if err != nil {
				return event.Lag{}, err
			}
			lag.Waiting, lag.Delayed = lag.Waiting+overdue, lag.Delayed-overdue
			oldest = earlier(oldest, first)
			continue
		}
		at, err := ch.oldest(ctx, name, open)
		if err != nil {
			return event.Lag{}, err
		}
		oldest = earlier(oldest, at)
	}
	ls, err := ch.letters(ctx, topic, group)
	if err != nil {
		return event.Lag{}, err
	}
	dead, redriven := ls.dead()
	lag.Dead, lag.Waiting = dead, lag.Waiting+redriven
	lag.InHand = min(ch.inHand(topic, group), lag.Waiting)
	lag.Waiting -= lag.InHand
	if !oldest.IsZero() {
		lag.OldestAge = max(time.Since(oldest), 1)
	}
	return lag, nil
}

// earlier returns the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// commitAll lets the members of a group in this process commit.
func (ch *Channel) commitAll(ctx context.Context, group string) {
	for _, c := range ch.members() {
		if c.sub.Group != group || c.sub.Ephemeral {
			continue
		}
		c.mu.Lock()
		s := c.s
		c.mu.Unlock()
		_ = s.commit(ctx, nil) // told by the next one of its own
	}
}

// inHand counts what members in this process have in hand.
func (ch *Channel) inHand(topic, group string) (n int) {
	for _, c := range ch.members() {
		if c.sub.Group != group {
			continue
		}
		c.mu.Lock()
		for _, t := range c.tenures {
			if t.topic == topic {
				n += t.main.inHandOf() + t.again.inHandOf()
			}
		}
		c.mu.Unlock()
	}
	return n
}

// open is what a group has not settled of a partition.
type open struct {
	stretch // all of it

	p                progress
	waiting, delayed int
}

// openOf returns what a group has not settled of a topic.
func (ch *Channel) openOf(ctx context.Context, topic, group string) (map[int32]open, error) {
	all, err := ch.stretches(ctx, topic)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	adm, err := ch.admin()
	if err != nil {
		return nil, err
	}
	commits, err := committed(ctx, adm, group, topic)
	if err != nil {
		return nil, err
	}
	delays := strings.HasSuffix(topic, "."+group+delaySuffix)
	exists := delays || strings.HasSuffix(topic, "."+group+redriveSuffix)
	commits.Each(func(o kadm.OffsetResponse) { exists = exists || o.Topic == topic && o.At >= 0 })
	if !exists {
		return map[int32]open{}, nil
	}
	out := make(map[int32]open)
	for n, s := range all {
		o := open{stretch: s}
		if at, known := commits.Lookup(topic, n); known && at.At >= 0 {
			o.from, o.p = max(at.At, s.from), decodeProgress(at.At, at.Metadata)
		} // else the partition is new, and the group begins at its beginning
		for _, done := range o.p.settled {
			o.waiting -= int(max(min(done.to, o.to)-max(done.from, o.from), 0))
		}
		o.waiting += int(o.to - o.from)
		o.delayed = min(o.p.delayed, o.waiting)
		if delays {
			o.delayed = o.waiting
		}
		o.waiting -= o.delayed
		out[n] = o
	}
	return out, nil
}

// oldest returns when the oldest event was accepted, or due if that is later, that is
// due and not settled.
func (ch *Channel) oldest(ctx context.Context, topic string, of map[int32]open) (first time.Time, err error) {
	left := make(map[int32]stretch)
	for n, o := range of {
		if o.waiting > 0 {
			left[n] = o.stretch
		}
	}
	err = ch.scan(ctx, topic, left, func(r *kgo.Record) bool {
		s, wanted := left[r.Partition]
		if o := of[r.Partition]; !wanted || r.Offset >= s.to || o.p.has(r.Offset) {
			return true
		}
		at := r.Timestamp
		if e, err := decode(r); err == nil && e.NotBefore().After(at) {
			at = e.NotBefore()
		}
		if at.After(time.Now()) {
			return true
		}
		delete(left, r.Partition)
		first = earlier(first, at)
		return len(left) > 0
	})
	return first, err
}

// overdue counts what should have left the delay topic: nobody turns the wheel. It
// returns when the first was due.
func (ch *Channel) overdue(ctx context.Context, topic string, of map[int32]open) (first time.Time, n int, err error) {
	left := make(map[int32]stretch)
	for n, o := range of {
		if o.delayed > 0 {
			left[n] = o.stretch
		}
	}
	now := time.Now()
	err = ch.scan(ctx, topic, left, func(r *kgo.Record) bool {
		if _, wanted := left[r.Partition]; !wanted {
			return true
		}
		e, err := decode(r)
		if err != nil || e.NotBefore().After(now) { // what is behind it has been there no longer
			delete(left, r.Partition)
			return len(left) > 0
		}
		n++
		first = earlier(first, e.NotBefore())
		return true
	})
	return first, n, err
}

// has reports whether a record is settled.
func (p *progress) has(offset int64) bool {
	for _, s := range p.settled {
		if offset >= s.from && offset < s.to {
			return true
		}
	}
	return false
}

// Quiet implements [event.Quiescer]. Without groups it waits for those that have had a
// member on this Channel. It asks again and again, more and more seldom: Kafka tells
// nobody when a group is done.
func (ch *Channel) Quiet(ctx context.Context, groups ...string) error {
	if _, err := ch.use(); err != nil {
		return err
	}
	for pause := 10 * time.Millisecond; ; pause = min(pause*3/2, time.Second) {
		quiet, err := ch.isQuiet(ctx, groups)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil || quiet {
			return err
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func (ch *Channel) isQuiet(ctx context.Context, groups []string) (bool, error) {
	if len(groups) == 0 {
		seen := make(map[string]bool)
		for _, c := range ch.members() {
			if !c.sub.Ephemeral && !seen[c.sub.Group] {
				seen[c.sub.Group] = true
				groups = append(groups, c.sub.Group)
			}
		}
	}
	for _, group := range groups {
		topics, err := ch.topicsOf(ctx, group)
		if err != nil {
			return false, err
		}
		ch.commitAll(ctx, group)
		for _, topic := range topics {
			quiet, err := ch.isQuietOn(ctx, topic, group)
			if err != nil || !quiet {
				return false, err
			}
		}
	}
	return true, nil
}

func (ch *Channel) isQuietOn(ctx context.Context, topic, group string) (bool, error) {
	ls, err := ch.letters(ctx, topic, group)
	if err != nil {
		return false, err
	}
	if _, redriven := ls.dead(); redriven > 0 {
		return false, nil
	}
	// In the direction in which events go, or one could pass between two looks.
	for _, name := range append(waitingTopics(topic, group), redriveTopic(topic, group)) {
		open, err := ch.openOf(ctx, name, group)
		if err != nil {
			return false, err
		}
		for _, o := range open {
			if o.waiting+o.delayed > 0 {
				return false, nil
			}
		}
	}
	return true, nil
}

// topicsOf returns the topics of a group.
func (ch *Channel) topicsOf(ctx context.Context, group string) ([]string, error) {
	adm, err := ch.admin()
	if err != nil {
		return nil, err
	}
	commits, err := allCommitted(ctx, adm, group)
	if err != nil {
		return nil, fmt.Errorf("kafka: the topics of a group: %w", err)
	}
	var topics []string
	for topic := range commits[group] {
		if !isOwn(topic, group) {
			topics = append(topics, topic)
		}
	}
	return topics, nil
}
