package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

var _ event.Provisioner = (*Channel)(nil)

// EnsureTopic implements [event.Provisioner].
func (ch *Channel) EnsureTopic(ctx context.Context, t event.TopicSpec) (err error) {
	ctx, leave := ch.doors.enter(ctx)
	defer func() { err = leave(err) }()
	if err := checkTopic(t.Name); err != nil {
		return err
	}
	_, err = ch.ensure(ctx, t, nil)
	return err
}

// EnsureGroup implements [event.Provisioner]. It makes the topics and the group's own
// ones, and commits where a new group starts, so that it exists from now on.
func (ch *Channel) EnsureGroup(ctx context.Context, group string, from event.Start, topics ...string) (err error) {
	ctx, leave := ch.doors.enter(ctx)
	defer func() { err = leave(err) }()
	adm, err := ch.admin()
	if err != nil {
		return err
	}
	for _, topic := range topics {
		if err := checkGroup(group, topic); err != nil {
			return err
		}
		if err := ch.ensureOwn(ctx, group, topic); err != nil {
			return err
		}
	}
	commits, err := committed(ctx, adm, group, topics...)
	if err != nil {
		return err
	}
	starts, err := ch.offsets(ctx, adm, from, topics)
	if err != nil {
		return err
	}
	var missing kadm.Offsets
	starts.Each(func(o kadm.Offset) {
		if at, known := commits.Lookup(o.Topic, o.Partition); !known || at.At < 0 {
			o.Metadata = unbegunMetadata
			missing.Add(o)
		}
	})
	if len(missing) == 0 {
		return nil
	}
	err = commitAt(ctx, adm, group, missing)
	if err == nil || inUse(err) {
		return nil // members are there, who begin at the earliest event
	}
	return fmt.Errorf("kafka: group %q: where it starts: %w", group, err)
}

// inUse reports whether an error says that a group has members.
func inUse(err error) bool {
	return errors.Is(err, kerr.UnknownMemberID) || errors.Is(err, kerr.NonEmptyGroup) ||
		errors.Is(err, kerr.IllegalGeneration) || errors.Is(err, kerr.RebalanceInProgress) ||
		errors.Is(err, kerr.StaleMemberEpoch) || errors.Is(err, kerr.GroupSubscribedToTopic)
}

// ensureOwn makes a topic and a group's own ones on it, which keep what they have until
// it is done with.
func (ch *Channel) ensureOwn(ctx context.Context, group, topic string) error {
	n, err := ch.ensure(ctx, event.TopicSpec{Name: topic}, nil)
	if err != nil {
		return err
	}
	limit, err := ch.limit(ctx, topic)
	if err != nil {
		return err
	}
	for _, name := range ownTopics(topic, group) {
		if err := ch.ensureLasting(ctx, name, n, limit+letterRoom); err != nil {
			return err
		}
	}
	if !ch.cfg.DelayTopics {
		return nil
	}
	return ch.ensureLasting(ctx, delayTopic(topic, group), delayLevels, limit+letterRoom)
}

// ensureLasting makes a topic that keeps what it has, with n partitions and room for
// records of so many bytes.
func (ch *Channel) ensureLasting(ctx context.Context, name string, n, most int) error {
	size := strconv.Itoa(most)
	keep, policy := "-1", "delete"
	have, err := ch.ensure(ctx, event.TopicSpec{Name: name, Partitions: n}, map[string]*string{
		"max.message.bytes": &size, "retention.ms": &keep, "retention.bytes": &keep, "cleanup.policy": &policy,
	})
	if err != nil {
		return err
	}
	switch {
	case have >= n:
	case ch.cfg.Topics.Never && strings.HasSuffix(name, delaySuffix): // a wheel with fewer levels turns too
	case ch.cfg.Topics.Never:
		return fmt.Errorf("kafka: topic %q has %d partitions and needs %d, and Config.Topics.Never says that none is changed",
			name, have, n)
	default:
		adm, err := ch.admin()
		if err != nil {
			return err
		}
		if err := grow(ctx, adm, name, n); err != nil {
			return err
		}
	}
	_, err = ch.limit(ctx, name)
	return err
}

// levelsOf returns how many levels a group's delay topic has, if there is one: it is
// emptied also when Config.DelayTopics was set once.
func (ch *Channel) levelsOf(ctx context.Context, group, topic string) (int, error) {
	cl, err := ch.use()
	if err != nil {
		return 0, err
	}
	name := delayTopic(topic, group)
	n, err := partitionsOf(ctx, cl, name)
	switch {
	case !ch.cfg.DelayTopics && (unknown(err) || denied(err)):
		return 0, nil
	case !ch.cfg.DelayTopics || !unknown(err):
		return n, err
	}
	if err := ch.ensureOwn(ctx, group, topic); err != nil { // somebody has removed it
		return 0, err
	}
	return appeared(ctx, cl, name)
}

// grow gives a topic more partitions.
func grow(ctx context.Context, adm *kadm.Client, topic string, n int) error {
	res, err := adm.UpdatePartitions(ctx, n, topic)
	if err == nil {
		err = res[topic].Err
	}
	if err != nil && !errors.Is(err, kerr.InvalidPartitions) { // another member was faster
		return fmt.Errorf("kafka: giving topic %q %d partitions: %w", topic, n, err)
	}
	return nil
}

// offsets returns where a start is.
func (ch *Channel) offsets(ctx context.Context, adm *kadm.Client, from event.Start, topics []string) (kadm.Offsets, error) {
	list := adm.ListStartOffsets
	switch from.Kind {
	case event.StartNewest:
		list = adm.ListCommittedOffsets
	case event.StartSince:
		list = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error) {
			return adm.ListOffsetsAfterMilli(ctx, from.Time.UnixMilli(), topics...)
		}
	case event.StartDefault, event.StartOldest:
	}
	at, err := listedOf(ctx, list, topics...)
	if err != nil {
		return nil, fmt.Errorf("kafka: where %s begin: %w", strings.Join(topics, ", "), err)
	}
	return at.Offsets(), nil
}

// RemoveGroup implements [event.Provisioner]. The group's own topics are removed with
// it.
func (ch *Channel) RemoveGroup(ctx context.Context, group string, topics ...string) error {
	cl, err := ch.use()
	if err != nil {
		return err
	}
	adm := kadm.NewClient(cl)
	all := make(kadm.TopicsSet)
	var own []string
	for _, topic := range topics {
		if err := ch.unused(ctx, group, topic); err != nil {
			return err
		}
		n, err := partitionsOf(ctx, cl, topic)
		if err != nil && !unknown(err) {
			return err
		}
		of := append(ownTopics(topic, group), delayTopic(topic, group))
		for p := range int32(max(n, delayLevels)) {
			for _, name := range append(of, topic) {
				all.Add(name, p)
			}
		}
		own = append(own, of...)
	}
	if err := forget(ctx, adm, group, all); err != nil {
		return err
	}
	if err := deleteTopics(ctx, adm, own); err != nil {
		return err
	}
	return vanished(ctx, cl, own)
}

// unused returns an error when a group has members on a topic.
func (ch *Channel) unused(ctx context.Context, group, topic string) error {
	if err := checkGroup(group, topic); err != nil {
		return err
	}
	infos, err := ch.Groups(ctx, topic)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(infos, func(g event.GroupInfo) bool { return g.Group == group })
	if i >= 0 && infos[i].Members > 0 {
		return fmt.Errorf("kafka: group %q has %d members on topic %q", group, infos[i].Members, topic)
	}
	return nil
}

// forget removes what a group has committed.
func forget(ctx context.Context, adm *kadm.Client, group string, of kadm.TopicsSet) error {
	res, err := adm.DeleteOffsets(ctx, group, of)
	if err != nil && !unknown(err) {
		return fmt.Errorf("kafka: removing group %q: %w", group, err)
	}
	for topic, ps := range res {
		for n, err := range ps {
			if err != nil && !unknown(err) {
				return fmt.Errorf("kafka: removing group %q from topic %q, partition %d: %w", group, topic, n, err)
			}
		}
	}
	return nil
}

// deleteTopics removes topics; those that aren't there are fine.
func deleteTopics(ctx context.Context, adm *kadm.Client, topics []string) error {
	gone, err := adm.DeleteTopics(ctx, topics...)
	if err != nil {
		return fmt.Errorf("kafka: removing topics: %w", err)
	}
	for _, t := range gone.Sorted() {
		if t.Err != nil && !unknown(t.Err) {
			return fmt.Errorf("kafka: removing topic %q: %w", t.Topic, t.Err)
		}
	}
	return nil
}

// vanished waits until no broker knows topics any more that were removed: a member that
// joins before that, and asks one that does, takes them for its own, and they go.
func vanished(ctx context.Context, cl *kgo.Client, topics []string) error {
	for _, broker := range cl.DiscoveredBrokers() {
		for _, topic := range topics {
			if err := vanishedAt(ctx, broker, topic); err != nil {
				return err
			}
		}
	}
	return nil
}

// vanishedWait is how long a broker may know a topic that was removed, or not answer: one
// that is down has nobody to tell of it.
const vanishedWait = 10 * time.Second

func vanishedAt(ctx context.Context, broker *kgo.Broker, topic string) error {
	limited, cancel := context.WithTimeout(ctx, vanishedWait)
	defer cancel()
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		_, err := describe(limited, broker, topic)
		switch {
		case unknown(err):
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("kafka: topic %q was removed and is still there: %w", topic, ctx.Err())
		case limited.Err() != nil:
			return nil
		}
		_ = sleep(limited, pause) // the next answer tells
	}
}

func unknown(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.GroupIDNotFound)
}
