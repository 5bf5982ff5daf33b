package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"github.com/leat-go/leat/event"
)

// Channel is an [event.Channel] on a Kafka cluster. Its methods may be called
// concurrently.
type Channel struct {
	cfg  Config
	err  error     // what is wrong with the configuration
	base []kgo.Opt // how every client reaches the cluster

	compression []kgo.CompressionCodec // in order of preference

	doors *doors

	room *semaphore.Weighted // for events that the brokers have not answered for

	mu        sync.Mutex
	client    *kgo.Client // produces and asks; made when it is first needed
	closed    bool
	consumers map[*consumer]struct{}

	limits        sync.Map     // topic -> int: its largest event
	metadataLimit atomic.Int64 // bytes beside a committed offset that the brokers take

	shutting sync.WaitGroup // sessions whose clients are being closed

	onDial func(c *consumer, d dialFunc) dialFunc // tests cut consumers off; else nil
}

var _ event.Channel = (*Channel)(nil)

// New returns a channel on the cluster that cfg names. It connects when it is first
// used; what is wrong with cfg is the error of every method.
func New(cfg Config) *Channel {
	cfg, err := cfg.withDefaults()
	return newChannel(cfg, cfg.options(), err)
}

func newChannel(cfg Config, base []kgo.Opt, err error) *Channel {
	ch := &Channel{
		cfg: cfg, err: err, base: base, doors: &doors{login: cfg.login(), signsIn: cfg.SASL != nil, seeds: cfg.Brokers},
		compression: []kgo.CompressionCodec{kgo.Lz4Compression(), kgo.NoCompression()},

		room:      semaphore.NewWeighted(cfg.MaxBuffered),
		consumers: make(map[*consumer]struct{}),
	}
	ch.metadataLimit.Store(maxMetadata)
	return ch
}

// use returns the client that produces and asks.
func (ch *Channel) use() (*kgo.Client, error) {
	if ch.err != nil {
		return nil, ch.err
	}
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closed {
		return nil, event.ErrClosed
	}
	if ch.client == nil {
		cl, err := kgo.NewClient(ch.options(ch.producing()...)...)
		if err != nil {
			return nil, fmt.Errorf("kafka: %w", err)
		}
		ch.client = cl
	}
	return ch.client, nil
}

// admin returns the client for questions.
func (ch *Channel) admin() (*kadm.Client, error) {
	cl, err := ch.use()
	if err != nil {
		return nil, err
	}
	return kadm.NewClient(cl), nil
}

// add takes a new consumer in, unless the channel was closed meanwhile.
func (ch *Channel) add(c *consumer) error {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	if ch.closed {
		return event.ErrClosed
	}
	ch.consumers[c] = struct{}{}
	return nil
}

func (ch *Channel) remove(c *consumer) {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	delete(ch.consumers, c)
}

// members returns the consumers that are open.
func (ch *Channel) members() []*consumer {
	ch.mu.Lock()
	defer ch.mu.Unlock()
	all := make([]*consumer, 0, len(ch.consumers))
	for c := range ch.consumers {
		all = append(all, c)
	}
	return all
}

// Close implements [event.Channel]. What was produced and not answered for yet is
// waited for until ctx ends.
func (ch *Channel) Close(ctx context.Context) error {
	ch.mu.Lock()
	if ch.closed {
		ch.mu.Unlock()
		return event.ErrClosed
	}
	ch.closed = true
	cl := ch.client
	ch.mu.Unlock()
	var left sync.WaitGroup
	for _, c := range ch.members() {
		left.Go(func() { _ = c.abandon(ctx) })
	}
	left.Wait()
	if cl == nil {
		return nil
	}
	err := cl.Flush(ctx)
	cl.Close()
	ch.shut(ctx)
	if err != nil {
		return fmt.Errorf("kafka: closing before the brokers answered for all events: %w", errors.Join(err, ctx.Err()))
	}
	return nil
}

// shut waits until all clients are closed, or ctx ends: where the network is dead that
// takes as long as it takes to open a connection.
func (ch *Channel) shut(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		ch.shutting.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}
