package bridgenats

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-go/leat/event"
)

// ensureTopic makes the stream of a topic, unless it exists.
func (s *server) ensureTopic(ctx context.Context, topic string) error {
	_, err := s.stream(ctx, topic)
	return err
}

// ensureOwn makes a stream that has no more than its only group hasn't acknowledged, and
// the group.
func (s *server) ensureOwn(ctx context.Context, group, topic string) error {
	s.mu.Lock()
	s.owns[topic] = true
	s.mu.Unlock()
	return s.ensureGroup(ctx, group, topic, event.Start{})
}

// ensureGroup makes a group on a topic, unless it exists.
func (s *server) ensureGroup(ctx context.Context, group, topic string, from event.Start) error {
	stream, err := s.stream(ctx, topic)
	if err != nil {
		return err
	}
	_, err = s.group(ctx, stream, group, topic, from)
	return err
}

// keeps returns what the stream of a topic is to keep.
func (s *server) keeps(topic string) jetstream.RetentionPolicy {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owns[topic] {
		return jetstream.WorkQueuePolicy
	}
	return jetstream.LimitsPolicy
}

// stream returns the stream of a topic, which is made unless it exists.
func (s *server) stream(ctx context.Context, topic string) (jetstream.Stream, error) {
	if err := checkSubject(topic); err != nil {
		return nil, err
	}
	name, err := nameOf(topic)
	if err != nil {
		return nil, err
	}
	keeps := s.keeps(topic)
	stream, err := s.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		cfg := jetstream.StreamConfig{
			Name: name, Subjects: []string{topic}, Retention: keeps, Storage: jetstream.FileStorage, Replicas: s.cfg.Replicas,
		}
		if keeps == jetstream.LimitsPolicy {
			cfg.MaxAge = s.cfg.Retention
		}
		stream, err = s.js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // somebody was faster
			stream, err = s.js.Stream(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	return stream, fits(stream.CachedInfo().Config, topic, keeps)
}

// fits says why a stream can't be that of a topic.
func fits(cfg jetstream.StreamConfig, topic string, keeps jetstream.RetentionPolicy) error {
	switch {
	case !slices.Contains(cfg.Subjects, topic):
		return fmt.Errorf("bridgenats: the stream %s has the subjects %q: what is published to %q would go elsewhere",
			cfg.Name, cfg.Subjects, topic)
	case cfg.Retention != keeps:
		return fmt.Errorf("bridgenats: the stream %s has the retention %v, and %v is needed: "+
			"events would go before every group has them, or stay for ever", cfg.Name, cfg.Retention, keeps)
	case cfg.NoAck:
		return fmt.Errorf("bridgenats: the stream %s doesn't say what it has accepted (no_ack)", cfg.Name)
	}
	return nil
}

// group returns the consumer of a group, which is made unless it exists.
func (s *server) group(ctx context.Context, stream jetstream.Stream, group, topic string, from event.Start) (jetstream.Consumer, error) {
	name, err := nameOf(group)
	if err != nil {
		return nil, err
	}
	cfg := s.consumer(topic, from)
	cfg.Durable = name
	c, err := stream.Consumer(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		c, err = stream.CreateConsumer(ctx, cfg)
		if errors.Is(err, jetstream.ErrConsumerExists) { // somebody was faster
			c, err = stream.Consumer(ctx, name)
		}
	}
	if err != nil {
		return nil, err
	}
	return s.adopt(ctx, stream, c, cfg)
}

// consumer returns what is common to all consumers.
func (s *server) consumer(topic string, from event.Start) jetstream.ConsumerConfig {
	cfg := jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.cfg.ackWait(), MaxDeliver: -1, MaxAckPending: -1,
		FilterSubject: topic, DeliverPolicy: jetstream.DeliverAllPolicy,
	}
	if s.cfg.Ordered {
		cfg.MaxAckPending = 1
	}
	switch from.Kind {
	case event.StartNewest:
		cfg.DeliverPolicy = jetstream.DeliverNewPolicy
	case event.StartSince:
		at := from.Time.UTC()
		cfg.DeliverPolicy, cfg.OptStartTime = jetstream.DeliverByStartTimePolicy, &at
	case event.StartDefault, event.StartOldest:
	}
	return cfg
}

// adopt gives a consumer that exists the settings that are needed, unless it has them. It
// goes on where it is.
func (s *server) adopt(
	ctx context.Context, stream jetstream.Stream, c jetstream.Consumer, want jetstream.ConsumerConfig,
) (jetstream.Consumer, error) {
	have := c.CachedInfo().Config
	if have.AckPolicy != jetstream.AckExplicitPolicy {
		return nil, fmt.Errorf("bridgenats: the consumer %s of the stream %s has the ack policy %v: each message has to be acknowledged",
			want.Durable, c.CachedInfo().Stream, have.AckPolicy)
	}
	fit := have
	fit.AckWait, fit.MaxDeliver, fit.MaxAckPending, fit.BackOff = want.AckWait, want.MaxDeliver, want.MaxAckPending, nil
	if reflect.DeepEqual(have, fit) {
		return c, nil
	}
	return stream.UpdateConsumer(ctx, fit)
}
