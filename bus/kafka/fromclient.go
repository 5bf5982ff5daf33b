package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"reflect"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl"
)

// FromClient returns a channel for those who have options of their own for package
// kgo: it makes its clients from cl.Opts(). cl itself isn't used and stays the
// caller's, who closes it.
//
// Brokers, TLS, SASL and Dialer of cfg must be empty: they are the client's. ClientID,
// Rack and Logger of cfg win where they are set. Options that would break a promise of
// the channel are refused, each by name in the error of every method: acks other than
// all, DisableIdempotentWrite, AllowIdempotentProduceCancellation, TransactionalID,
// ManualFlushing, DefaultProduceTopicAlways, DisableFetchCRCValidation,
// AllowAutoTopicCreation, and all that says what to consume: groups, topics, partitions,
// committing, a ServerSideBalancer without Config.ServerSide. SASL on connections that
// aren't a [tls.Conn] (or have no method ConnectionState as that has) is refused too,
// unless cfg.SASLWithoutTLS says that it is meant, and so is TLS below 1.2.
//
// These are the channel's own, and the client's are overridden: the isolation level
// (read committed), where consuming starts, the session, heartbeat and rebalance
// timeouts, the balancers and their callbacks, the partitioner, the linger (none), the
// bounds of what is buffered (Config.MaxBuffered) and of batches, UnknownTopicRetries,
// FetchMaxWait. All other options are kept: hooks, compression, retries, timeouts,
// versions. RecordRetries and RecordDeliveryTimeout are kept because what they give up
// isn't lost silently: Produce returns the error, and the channel writes its own records
// again.
func FromClient(cl *kgo.Client, cfg Config) *Channel {
	if cl == nil {
		cfg, _ := cfg.withDefaults()
		return newChannel(cfg, nil, errors.New("kafka: FromClient: the client is nil"))
	}
	errs := []error{cfg.checkFromClient(), refuse(cl, cfg)}
	seeds, _ := cl.OptValue(kgo.SeedBrokers).([]string)
	over := cfg.overrides()
	cfg, err := cfg.withDefaultsFor(seeds)
	cfg.Dialer = cfg.trusted(cl)
	if ms, _ := cl.OptValue(kgo.SASL).([]sasl.Mechanism); len(ms) > 0 {
		cfg.SASL = ms[0]
	}
	base := append(defaults(), cl.Opts()...)
	base = append(append(base, over...), kgo.Dialer(cfg.Dialer))
	ch := newChannel(cfg, base, errors.Join(append(errs, err)...))
	if theirs, _ := cl.OptValue(kgo.ProducerBatchCompression).([]kgo.CompressionCodec); len(theirs) > 0 {
		ch.compression = theirs
	}
	return ch
}

// withDefaultsFor returns c with its zero fields filled, for a client that knows the
// brokers itself.
func (c Config) withDefaultsFor(seeds []string) (Config, error) {
	c.Brokers, c.TLS, c.SASL, c.Dialer = []string{"client:0"}, nil, nil, nil
	c, err := c.withDefaults()
	c.Brokers = seeds
	return c, err
}

// checkFromClient returns what of c is the client's.
func (c Config) checkFromClient() error {
	var errs []error
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"Brokers", len(c.Brokers) > 0},
		{"TLS", c.TLS != nil},
		{"SASL", c.SASL != nil},
		{"Dialer", c.Dialer != nil},
	} {
		if f.set {
			errs = append(errs, fmt.Errorf("kafka: FromClient: Config.%s is set: it is the client's", f.name))
		}
	}
	return errors.Join(errs...)
}

// overrides are what a client's own options may not change.
func (c Config) overrides() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.MaxBufferedBytes(0),
		kgo.GroupProtocol("consumer"),
		kgo.DialTLSConfig(nil), // the client's own dialer has it
	}
	if c.ClientID != "" {
		opts = append(opts, kgo.ClientID(c.ClientID))
	}
	if c.Rack != "" {
		opts = append(opts, kgo.Rack(c.Rack))
	}
	if c.Logger != nil {
		opts = append(opts, kgo.WithLogger(logger{c.Logger}))
	}
	return opts
}

const (
	breaksAcks   = "events would be accepted that the brokers may lose"
	breaksOnce   = "events could be written twice"
	breaksGroups = "what is consumed, and by which group, is said by the subscriptions"
	breaksFlush  = "nothing would be sent"
	breaksTopics = "Config.Topics says how topics are made"
)

// refused are the options that would break a promise when they are set.
var refused = []struct {
	name string
	opt  any
	why  string
}{
	{"DisableIdempotentWrite", kgo.DisableIdempotentWrite, breaksOnce},
	{"AllowIdempotentProduceCancellation", kgo.AllowIdempotentProduceCancellation, breaksOnce},
	{"TransactionalID", kgo.TransactionalID, "the channel makes several clients, which would fence each other"},
	{"ManualFlushing", kgo.ManualFlushing, breaksFlush},
	{"DefaultProduceTopicAlways", kgo.DefaultProduceTopicAlways, "events would go to another topic"},
	{"AllowAutoTopicCreation", kgo.AllowAutoTopicCreation, breaksTopics},
	{"DisableFetchCRCValidation", kgo.DisableFetchCRCValidation, "damaged events would be delivered"},
	{"ConsumerGroup", kgo.ConsumerGroup, breaksGroups},
	{"ShareGroup", kgo.ShareGroup, breaksGroups},
	{"InstanceID", kgo.InstanceID, "the members that the channel makes would fence each other"},
	{"ConsumeTopics", kgo.ConsumeTopics, breaksGroups},
	{"ConsumePartitions", kgo.ConsumePartitions, breaksGroups},
	{"ConsumeRegex", kgo.ConsumeRegex, breaksGroups},
	{"ConsumeExcludeTopics", kgo.ConsumeExcludeTopics, breaksGroups},
	{"AdjustFetchOffsetsFn", kgo.AdjustFetchOffsetsFn, breaksGroups},
	{"AutoCommitMarks", kgo.AutoCommitMarks, "only what is settled is committed"},
	{"GreedyAutoCommit", kgo.GreedyAutoCommit, "only what is settled is committed"},
}

// refuse returns which options of a client can't be kept.
func refuse(cl *kgo.Client, cfg Config) error {
	var errs []error
	no := func(name, why string) {
		errs = append(errs, fmt.Errorf("kafka: FromClient: the client's option %s is refused: %s", name, why))
	}
	if cl.OptValue(kgo.RequiredAcks) != any(kgo.AllISRAcks()) {
		no("RequiredAcks", breaksAcks)
	}
	if on, _ := cl.OptValue(kgo.ServerSideBalancer).(bool); on && !cfg.ServerSide {
		no("ServerSideBalancer", "set Config.ServerSide")
	}
	for _, r := range refused {
		if vs := cl.OptValues(r.opt); isSet(vs) {
			no(r.name, r.why)
		}
	}
	if t, _ := cl.OptValue(kgo.DialTLSConfig).(*tls.Config); tooOld(t) != 0 {
		no("DialTLSConfig", fmt.Sprintf("it allows %s, at least TLS 1.2 is needed", tls.VersionName(tooOld(t))))
	}
	return errors.Join(errs...)
}

// isSet reports whether an option has another value than none.
func isSet(vs []any) bool {
	if len(vs) == 2 { // a value, and whether it is set
		on, _ := vs[1].(bool)
		return on
	}
	v := reflect.ValueOf(vs[0])
	switch v.Kind() {
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	case reflect.Invalid:
		return false
	default:
		return !v.IsZero()
	}
}

// trusted returns a client's own way to a broker, unless that shows credentials to the
// network.
func (c Config) trusted(cl *kgo.Client) dialFunc {
	dial, _ := cl.OptValue(kgo.Dialer).(func(context.Context, string, string) (net.Conn, error))
	ms, _ := cl.OptValue(kgo.SASL).([]sasl.Mechanism)
	plain := c.SASLWithoutTLS || len(ms) == 0
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		secure, encrypted := conn.(interface{ ConnectionState() tls.ConnectionState })
		var state tls.ConnectionState
		if encrypted {
			state = secure.ConnectionState()
		}
		switch {
		case !encrypted && !plain:
			err = &trustError{fmt.Errorf("the client's option SASL is %s and the connection isn't encrypted by TLS: the network would see "+
				"the credentials; set DialTLSConfig, or Config.SASLWithoutTLS if that is meant", ms[0].Name())}
		case state.HandshakeComplete && state.Version < tls.VersionTLS12:
			err = &trustError{fmt.Errorf("the broker speaks %s: at least TLS 1.2 is needed", tls.VersionName(state.Version))}
		}
		if err != nil {
			_ = conn.Close()
			return nil, err
		}
		return conn, nil
	}
}
