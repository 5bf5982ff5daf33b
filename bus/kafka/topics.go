package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/event"
)

// defaultMaxMessage is max.message.bytes of a broker that nobody configured.
const defaultMaxMessage = 1048588

// letterRoom is how much larger a dead letter may be than its event: the bounds of a
// cause, and some.
const letterRoom = 16 << 10

// batchLimit is the largest batch of a topic.
func (ch *Channel) batchLimit(topic string) int32 {
	if n, known := ch.limits.Load(topic); known {
		return int32(min(n.(int), 1<<30))
	}
	return defaultMaxMessage
}

// ensure makes a topic unless it exists, and returns how many partitions it has. A
// count of partitions in spec above 0 is what a new topic gets.
func (ch *Channel) ensure(ctx context.Context, spec event.TopicSpec, configs map[string]*string) (partitions int, err error) {
	cl, err := ch.use()
	if err != nil {
		return 0, err
	}
	partitions, err = partitionsOf(ctx, cl, spec.Name)
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return partitions, err
	}
	if ch.cfg.Topics.Never {
		return 0, fmt.Errorf("kafka: topic %q doesn't exist, and Config.Topics.Never says that none is made", spec.Name)
	}
	if err := ch.create(ctx, kadm.NewClient(cl), spec, configs); err != nil {
		return 0, err
	}
	return appeared(ctx, cl, spec.Name)
}

func (ch *Channel) create(ctx context.Context, adm *kadm.Client, spec event.TopicSpec, configs map[string]*string) error {
	d := ch.cfg.Topics
	if retention := or(spec.Retention, d.Retention); retention != 0 && configs["retention.ms"] == nil {
		ms := strconv.FormatInt(max(retention.Milliseconds(), -1), 10)
		configs = with(configs, "retention.ms", &ms)
	}
	partitions, replicas := or(spec.Partitions, d.Partitions), or(spec.Replicas, d.Replicas)
	res, err := adm.CreateTopics(ctx, int32(or(partitions, -1)), int16(or(replicas, -1)), configs, spec.Name)
	if err == nil {
		err = res[spec.Name].Err
	}
	if err == nil || errors.Is(err, kerr.TopicAlreadyExists) {
		return nil
	}
	return fmt.Errorf("kafka: making topic %q: %w%s", spec.Name, err, said(res[spec.Name].ErrMessage))
}

func with(m map[string]*string, key string, value *string) map[string]*string {
	out := map[string]*string{key: value}
	maps.Copy(out, m)
	return out
}

// said adds what the broker says of an error, if it says anything.
func said(message string) string {
	if message == "" {
		return ""
	}
	return " (" + message + ")"
}

// appeared waits until a new topic has a leader for every partition: until then to
// produce would be to wait, and to ask for offsets an error.
func appeared(ctx context.Context, cl *kgo.Client, topic string) (int, error) {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 250*time.Millisecond) {
		n, err := partitionsOf(ctx, cl, topic)
		if err == nil {
			return n, nil
		}
		if !kerr.IsRetriable(err) {
			return 0, err
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, fmt.Errorf("kafka: topic %q was made and isn't ready: %w", topic, err)
		}
	}
}

// partitionsOf returns how many partitions a topic has. Partitions without a leader
// are an error.
func partitionsOf(ctx context.Context, cl *kgo.Client, topic string) (int, error) {
	ps, err := describe(ctx, cl, topic)
	return len(ps), err
}

// describe returns the partitions of a topic. The broker is asked, whatever the client
// remembers.
func describe(ctx context.Context, cl kmsg.Requestor, topic string) ([]kmsg.MetadataResponseTopicPartition, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &topic
	req.Topics = append(req.Topics, t)
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return nil, fmt.Errorf("kafka: asking for topic %q: %w", topic, err)
	}
	if len(res.Topics) != 1 {
		return nil, fmt.Errorf("kafka: asking for topic %q: the broker answers for %d", topic, len(res.Topics))
	}
	if err := kerr.ErrorForCode(res.Topics[0].ErrorCode); err != nil {
		return nil, fmt.Errorf("kafka: topic %q: %w", topic, err)
	}
	for _, p := range res.Topics[0].Partitions {
		err := kerr.ErrorForCode(p.ErrorCode)
		if err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
			return nil, fmt.Errorf("kafka: topic %q, partition %d: %w", topic, p.Partition, err)
		}
	}
	return res.Topics[0].Partitions, nil
}

// limit returns the largest event of a topic, as its configuration says.
func (ch *Channel) limit(ctx context.Context, topic string) (int, error) {
	if n, known := ch.limits.Load(topic); known {
		return n.(int), nil
	}
	adm, err := ch.admin()
	if err != nil {
		return 0, err
	}
	n := defaultMaxMessage
	configs, err := persistFor(ctx, func() (map[string]string, error) { return configsOf(ctx, adm, topic) })
	switch {
	case err != nil && !denied(err):
		return 0, err
	case err == nil:
		n = number(configs["max.message.bytes"], n)
		ch.warn(ctx, topic, number(configs["min.insync.replicas"], 1))
	}
	ch.limits.Store(topic, n)
	return n, nil
}

// warn tells the log of a topic whose events one broker can lose though there are
// replicas: acks=all waits for those in sync, and that may be the leader alone.
func (ch *Channel) warn(ctx context.Context, topic string, inSync int) {
	cl, err := ch.use()
	if err != nil || ch.cfg.Logger == nil || inSync > 1 {
		return
	}
	ps, err := describe(ctx, cl, topic)
	if err != nil || len(ps) == 0 || len(ps[0].Replicas) < 2 {
		return // with one replica nobody expects more
	}
	ch.cfg.Logger.WarnContext(ctx, "kafka: an event counts as accepted when one replica has it: set min.insync.replicas to 2",
		"topic", topic, "replicas", len(ps[0].Replicas), "min.insync.replicas", inSync)
}

// configsOf returns the configuration of a topic.
func configsOf(ctx context.Context, adm *kadm.Client, topic string) (map[string]string, error) {
	found, err := persist(ctx, func() (kadm.ResourceConfig, error) {
		all, err := adm.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return kadm.ResourceConfig{}, err
		}
		i := slices.IndexFunc(all, func(r kadm.ResourceConfig) bool { return r.Name == topic })
		if i < 0 {
			return kadm.ResourceConfig{}, errors.New("the broker did not answer for it")
		}
		return all[i], all[i].Err
	})
	if err != nil {
		return nil, fmt.Errorf("kafka: configuration of topic %q: %w", topic, err)
	}
	out := make(map[string]string, len(found.Configs))
	for _, c := range found.Configs {
		out[c.Key] = c.MaybeValue()
	}
	return out, nil
}

// denied reports whether the brokers don't let us ask: then their defaults are
// assumed.
func denied(err error) bool {
	return errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed)
}

func number(s string, otherwise int) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return otherwise
	}
	return n
}

// sleep waits for d, or for ctx to end.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
