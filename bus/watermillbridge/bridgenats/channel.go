package bridgenats

import (
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// New returns a channel on NATS JetStream. Servers that can't be reached are an error.
func New(cfg Config) (*watermillbridge.Channel, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	nc, err := connect(cfg)
	if err != nil {
		return nil, err
	}
	ch, err := on(nc, cfg)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return ch, nil
}

// on returns a channel on a connection.
func on(nc *nats.Conn, cfg Config) (*watermillbridge.Channel, error) {
	most := int(nc.MaxPayload()) - letterRoom
	if most <= 0 {
		return nil, fmt.Errorf("bridgenats: the servers' max_payload is %d: %d are for what a dead letter carries",
			nc.MaxPayload(), letterRoom)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("bridgenats: %w", err)
	}
	// No message ids: the server drops what has the same as another of the last minutes,
	// and a dead letter is put back with its own.
	pub, err := watermillnats.NewPublisherWithNatsConn(nc, watermillnats.PublisherPublishConfig{
		Marshaler: &watermillnats.NATSMarshaler{}, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
	}, watermill.NopLogger{})
	if err != nil {
		return nil, fmt.Errorf("bridgenats: %w", err)
	}
	s := &server{cfg: cfg, nc: nc, js: js, owns: make(map[string]bool)}
	return watermillbridge.NewChannel(watermillbridge.PubSub{
		Publisher: pub, Subscriber: s.subscriber, Private: s.private,
		EnsureTopic: s.ensureTopic, EnsureGroup: s.ensureGroup, EnsureOwn: s.ensureOwn,
		Guarantees: event.Guarantees{
			Channel: "nats", OrderPerKey: cfg.Ordered, Durable: true, History: true, MaxBytes: most,
			Lease: cfg.ackWait(), MaxHold: cfg.MaxHold,
		},
		Subscriptions: cfg.Subscriptions, Envelope: true, InOrder: true, Returns: true,
	})
}

// server is what subscribers are made for.
type server struct {
	cfg Config
	nc  *nats.Conn
	js  jetstream.JetStream

	mu   sync.Mutex
	owns map[string]bool // topics that one group reads
}

func (s *server) subscriber(m watermillbridge.Member) (message.Subscriber, error) {
	return newSubscriber(s, m, ""), nil
}

func (s *server) private(m watermillbridge.Member) (message.Subscriber, error) {
	return newSubscriber(s, m, "private-"+event.NewID()), nil
}
