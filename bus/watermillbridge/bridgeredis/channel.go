package bridgeredis

import (
	"context"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// New returns a channel on Redis Streams. Its error names every mistake in cfg; servers
// that can't be reached, or would lose events, are errors of the first use of a topic.
func New(cfg Config) (*watermillbridge.Channel, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, client: redis.NewUniversalClient(&cfg.Redis), owns: make(map[string]bool)}
	pub, err := redisstream.NewPublisher(redisstream.PublisherConfig{
		Client: kept{s.client}, Marshaller: marshaler{},
	}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	s.trims = newTrims(s.client, cfg.Retention)
	return watermillbridge.NewChannel(watermillbridge.PubSub{
		Publisher: pub, Subscriber: s.subscriber, Private: s.private,
		EnsureTopic: s.ensureTopic, EnsureGroup: s.ensureGroup, EnsureOwn: s.ensureOwn, Close: s.close,
		Guarantees: event.Guarantees{
			Channel: "redis", Durable: true, History: true, MaxBytes: cfg.MaxBytes - letterRoom,
			Lease: cfg.lease(), MaxHold: cfg.MaxHold,
		},
		Subscriptions: cfg.Subscriptions, InOrder: true, Returns: true,
	})
}

// server is what subscribers are made for.
type server struct {
	cfg    Config
	client redis.UniversalClient
	trims  *trims

	mu    sync.Mutex
	isFit bool            // the server was looked at
	owns  map[string]bool // topics that one group reads
}

// kept is a client that its users can't close: the library's do.
type kept struct{ redis.UniversalClient }

// Close does nothing.
func (kept) Close() error { return nil }

// XRead reads a stream. The end of ctx is no error.
func (k kept) XRead(ctx context.Context, a *redis.XReadArgs) *redis.XStreamSliceCmd {
	cmd := k.UniversalClient.XRead(ctx, a)
	if ctx.Err() != nil {
		return nothing(ctx)
	}
	return cmd
}

// nothing is the answer of a read that found nothing.
func nothing(ctx context.Context) *redis.XStreamSliceCmd {
	cmd := redis.NewXStreamSliceCmd(ctx)
	cmd.SetErr(redis.Nil)
	return cmd
}

func (s *server) subscriber(m watermillbridge.Member) (message.Subscriber, error) {
	return newSubscriber(s, m), nil
}

func (s *server) private(m watermillbridge.Member) (message.Subscriber, error) {
	return newPrivate(s, m), nil
}

// ensureTopic makes nothing, since a stream begins with its first entry: it looks at the
// server before that.
func (s *server) ensureTopic(ctx context.Context, topic string) error {
	if err := s.fit(ctx); err != nil {
		return err
	}
	return s.trims.add(ctx, topic)
}

// ensureGroup makes a group and its stream, unless they exist.
func (s *server) ensureGroup(ctx context.Context, group, topic string, from event.Start) error {
	err := s.client.XGroupCreateMkStream(ctx, topic, group, startID(from)).Err()
	if err != nil && !redis.HasErrorPrefix(err, "BUSYGROUP") {
		return err
	}
	return nil
}

// ensureOwn makes a stream whose entries are removed when its only group has settled
// them.
func (s *server) ensureOwn(ctx context.Context, group, topic string) error {
	if err := s.fit(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.owns[topic] = true
	s.mu.Unlock()
	return s.ensureGroup(ctx, group, topic, event.Start{})
}

func (s *server) isOwn(topic string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.owns[topic]
}

func (s *server) close() error {
	s.trims.stop()
	return s.client.Close()
}
