package kafka_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/kafkatest"
)

// bound is how long nothing may be silent.
const bound = 30 * time.Second

// heard is what a subscription was told.
type heard chan string

func (h heard) tell(err error) {
	select {
	case h <- err.Error():
	default:
	}
}

// wants waits until an error was told that has all words.
func (h heard) wants(t *testing.T, words ...string) {
	t.Helper()
	var all []string
	for end := time.After(bound); ; {
		select {
		case text := <-h:
			require.NotContains(t, text, canary)
			if has(text, words) {
				return
			}
			all = append(all, text)
		case <-end:
			t.Fatalf("nobody was told of %q; but of\n%s", words, strings.Join(all, "\n"))
		}
	}
}

func has(text string, words []string) bool {
	for _, w := range words {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	require.Error(t, err)
	require.True(t, has(err.Error(), words), "%v has not %q", err, words)
	require.NotContains(t, err.Error(), canary)
}

// buffer is a log.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// secured is a cluster with users, and what may do all there.
type secured struct {
	*kafkatest.Cluster

	adm *kadm.Client
	log buffer
}

func (s *secured) config(m kafka.Login) kafka.Config {
	return kafka.Config{
		Brokers: s.SASLBrokers(), SASL: kafka.ScramSHA512(m.User, m.Password), SASLWithoutTLS: true, SessionTimeout: session,
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
}

func (s *secured) limited() kafka.Login { return kafka.Login(s.Limited()) }

// deny takes a right of the limited user.
func (s *secured) deny(t *testing.T, b *kadm.ACLBuilder, op kmsg.ACLOperation) {
	t.Helper()
	b = b.Deny("User:" + s.Limited().User).DenyHosts().Operations(op).ResourcePatternType(kadm.ACLPatternLiteral)
	res, err := s.adm.CreateACLs(t.Context(), b)
	require.NoError(t, err)
	for _, r := range res {
		require.NoError(t, r.Err)
	}
}

// TestErrors is on a broker with users. Each failure is an error in bounded time that
// says what and where. The log of all of it has neither events nor passwords.
func TestErrors(t *testing.T) {
	s := &secured{Cluster: kafkatest.NewCluster(t, 1, kafkatest.WithSASL())}
	s.adm = kadm.NewClient(client(t, kgo.SeedBrokers(s.Brokers()...)))
	broker := s.SASLBrokers()[0]
	secret := event.New("/shop", "made", []byte(canary))

	t.Run("WrongPassword", func(t *testing.T) {
		ch := closed(t, kafka.New(s.config(kafka.Login{User: s.Limited().User, Password: canary})))
		_, err := ch.Producer(within(t, bound), "limited-a")
		wantError(t, err, "SASL_AUTHENTICATION_FAILED", "limited-a", broker, "SCRAM-SHA-512")
		require.ErrorIs(t, err, kerr.SaslAuthenticationFailed)
		_, err = ch.Consumer(within(t, bound), event.Subscription{Group: "limited-g", Topics: []string{"limited-a"}})
		wantError(t, err, "SASL_AUTHENTICATION_FAILED", "limited-a", broker, "SCRAM-SHA-512")
		_, err = ch.Guarantees(within(t, bound), "limited-a", "")
		wantError(t, err, "SASL_AUTHENTICATION_FAILED", "limited-a", broker, "SCRAM-SHA-512")
	})
	t.Run("OtherMechanism", func(t *testing.T) {
		cfg := s.config(s.limited())
		cfg.SASL = kafka.Plain(s.Limited().User, canary)
		_, err := closed(t, kafka.New(cfg)).Producer(within(t, bound), "limited-a")
		wantError(t, err, "UNSUPPORTED_SASL_MECHANISM", broker, "PLAIN")
	})
	t.Run("NoSASL", func(t *testing.T) {
		cfg := s.config(s.limited())
		cfg.SASL = nil
		_, err := closed(t, kafka.New(cfg)).Producer(within(t, bound), "limited-a")
		wantError(t, err, "is SASL missing?", broker, "no SASL")
	})
	t.Run("RightPassword", func(t *testing.T) { s.works(t, "limited-right", secret) })
	t.Run("NoRights", func(t *testing.T) {
		ch := closed(t, kafka.New(s.config(s.limited())))
		_, err := ch.Producer(within(t, bound), "other")
		wantError(t, err, "TOPIC_AUTHORIZATION_FAILED", `"other"`)
		_, err = ch.Consumer(within(t, bound), event.Subscription{Group: "limited-g", Topics: []string{"other"}})
		wantError(t, err, "TOPIC_AUTHORIZATION_FAILED", `"other"`)
		_, err = ch.Consumer(within(t, bound), event.Subscription{Group: "other", Topics: []string{"limited-a"}})
		wantError(t, err, "GROUP_AUTHORIZATION_FAILED", `"other"`)
	})
	t.Run("NoRightToWrite", func(t *testing.T) {
		s.deny(t, kadm.NewACLs().Topics("limited-read"), kmsg.ACLOperationWrite)
		ch := closed(t, kafka.New(s.config(s.limited())))
		p, err := ch.Producer(within(t, bound), "limited-read")
		require.NoError(t, err)
		wantError(t, p.Produce(within(t, bound), secret), "TOPIC_AUTHORIZATION_FAILED", "limited-read")
	})
	t.Run("NoRightToDeadLetters", func(t *testing.T) {
		for op, topic := range map[kmsg.ACLOperation]string{kmsg.ACLOperationWrite: "limited-w.limited-g.dead", kmsg.ACLOperationAll: "limited-x.limited-g.dead", kmsg.ACLOperationRead: "limited-y.limited-g.redrive"} {
			s.deny(t, kadm.NewACLs().Topics(topic), op)
			ch := closed(t, kafka.New(s.config(s.limited())))
			of, _, _ := strings.Cut(topic, ".")
			_, err := ch.Consumer(within(t, bound), event.Subscription{Group: "limited-g", Topics: []string{of}})
			wantError(t, err, "TOPIC_AUTHORIZATION_FAILED", topic)
		}
	})
	t.Run("RightsLost", func(t *testing.T) {
		_, h := s.works(t, "limited-lost", secret)
		s.deny(t, kadm.NewACLs().Topics("limited-lost"), kmsg.ACLOperationRead)
		h.wants(t, "TOPIC_AUTHORIZATION_FAILED", "limited-lost", "limited-lost-g")
		_, h = s.works(t, "limited-grp", secret)
		s.deny(t, kadm.NewACLs().Groups("limited-grp-g"), kmsg.ACLOperationAll)
		h.wants(t, "GROUP_AUTHORIZATION_FAILED", "limited-grp-g")
	})
	t.Run("TopicRemoved", func(t *testing.T) {
		p, h := s.works(t, "limited-gone", secret)
		_, err := s.adm.DeleteTopics(t.Context(), "limited-gone")
		require.NoError(t, err)
		wantError(t, p.Produce(within(t, bound), secret), "UNKNOWN_TOPIC_OR_PARTITION", "limited-gone")
		h.wants(t, "limited-gone", "limited-gone-g", "was it removed?")
	})
	t.Run("PasswordChanged", func(t *testing.T) { s.passwordChanged(t, secret) })

	require.NotEmpty(t, s.log.String())
	require.NotContains(t, s.log.String(), canary)
	require.NotContains(t, s.log.String(), s.Limited().Password)
}

// works returns a producer and what a member is told, both of which work.
func (s *secured) works(t *testing.T, topic string, e event.Event) (event.Producer, heard) {
	t.Helper()
	return runs(t, closed(t, kafka.New(s.config(s.limited()))), topic, e)
}

func runs(t *testing.T, ch *kafka.Channel, topic string, e event.Event) (event.Producer, heard) {
	t.Helper()
	p, err := ch.Producer(within(t, bound), topic)
	require.NoError(t, err)
	require.NoError(t, p.Produce(within(t, bound), e))
	h := make(heard, 100)
	c, err := ch.Consumer(t.Context(), event.Subscription{Group: topic + "-g", Topics: []string{topic}, OnError: h.tell})
	require.NoError(t, err)
	n, err := c.Receive(within(t, bound), make([]event.Delivery, 1))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	return p, h
}

// A password that is refused in the middle of the work: nobody waits for ever, and all
// goes on when it is right again.
func (s *secured) passwordChanged(t *testing.T, e event.Event) {
	t.Helper()
	var l login
	var w wires
	l.set(s.Limited().User, s.Limited().Password)
	cfg := s.config(s.limited())
	cfg.SASL, cfg.Dialer = kafka.ScramSHA512From(l.ask), w.dial
	p, h := runs(t, closed(t, kafka.New(cfg)), "limited-pass", e)
	l.set(s.Limited().User, canary)
	w.cut()

	short := within(t, 2*time.Second)
	require.ErrorIs(t, p.Produce(short, e), context.DeadlineExceeded)
	start := time.Now()
	err := p.Produce(t.Context(), e) // no deadline
	require.Less(t, time.Since(start), bound)
	wantError(t, err, "SASL_AUTHENTICATION_FAILED", s.SASLBrokers()[0], "SCRAM-SHA-512")
	var failed *event.ProduceError
	require.ErrorAs(t, err, &failed)
	require.True(t, failed.Failed[0].Maybe) // it waits, and may be written
	h.wants(t, "SASL_AUTHENTICATION_FAILED", s.SASLBrokers()[0], "SCRAM-SHA-512")

	l.set(s.Limited().User, s.Limited().Password)
	require.NoError(t, p.Produce(within(t, 2*bound), e))
}

// A fenced producer can't be had from a broker without transactions: this one says so.
func TestErrorsFenced(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.ProducerFenced, kerr.ClusterAuthorizationFailed} {
		t.Run(code.Message, func(t *testing.T) {
			t.Parallel()
			c := fake(t, kfake.SeedTopics(1, "orders"))
			c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				c.KeepControl()
				r := req.(*kmsg.ProduceRequest)
				res := r.ResponseKind().(*kmsg.ProduceResponse)
				for _, rt := range r.Topics {
					st := kmsg.NewProduceResponseTopic()
					st.Topic, st.TopicID = rt.Topic, rt.TopicID
					for _, rp := range rt.Partitions {
						sp := kmsg.NewProduceResponseTopicPartition()
						sp.Partition, sp.ErrorCode = rp.Partition, code.Code
						st.Partitions = append(st.Partitions, sp)
					}
					res.Topics = append(res.Topics, st)
				}
				return res, nil, true
			})
			p, err := closed(t, kafka.New(kafka.Config{Brokers: c.ListenAddrs()})).Producer(t.Context(), "orders")
			require.NoError(t, err)
			wantError(t, p.Produce(within(t, bound), event.New("/shop", "made", []byte(canary))), code.Message, "orders")
		})
	}
}
