package bridgenats_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wjetstream "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/jetstream"
	watermillnats "github.com/ThreeDotsLabs/watermill-nats/v2/pkg/nats"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// A way is how a service is run: on Watermill alone or on a Bus on the bridge. It is the
// only member of a group, unless it is started again.
type way struct {
	name  string
	start func(t *testing.T, topic string, s *seen) service
}

var ways = []way{{"alone", alone}, {"through the bridge", through}}

// service is a member of a group that runs.
type service struct {
	release func() // lets handlers end that wait
	stop    func() // waits until it is over
	crash   func() string
	bus     *bus.Bus // nil: it runs on Watermill alone
}

// handler is a service's: what it does is in the event's id. It says when it begins and
// ends.
func handler(say func(string), release <-chan struct{}) func(ctx context.Context, id string) error {
	return func(ctx context.Context, id string) error {
		say("begin " + id)
		defer say("end " + id)
		switch id {
		case "poison":
			return errors.New("never")
		case "long":
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-release:
			}
		case "busy":
			<-release
		}
		return nil
	}
}

// through runs a member on a Bus on the bridge.
func through(t *testing.T, topic string, s *seen) service {
	t.Helper()
	cfg := config(t)
	cfg.Subscriptions, cfg.MaxHold = 1, 2*time.Second
	b := bus.New(bus.Config{App: "shop", Channel: openWith(t, cfg)})
	release := make(chan struct{})
	h := handler(s.add, release)
	bus.SubscribeRaw(b, "g", nil, func(ctx context.Context, e event.Event) error { return h(ctx, e.ID()) },
		bus.Topic(topic), bus.Retry(bus.Backoff{First: 10 * time.Millisecond, Max: time.Second, Attempts: 3}))
	require.NoError(t, b.Start(t.Context()))
	return service{
		release: sync.OnceFunc(func() { close(release) }),
		stop:    func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) },
		crash:   func() string { return "" }, bus: b,
	}
}

const topicVariable = "BRIDGENATS_ALONE_ON"

// alone runs a member on Watermill's Router, in a process of its own: it may panic.
func alone(t *testing.T, topic string, s *seen) service {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), os.Args[0])
	cmd.Env = append(os.Environ(), topicVariable+"="+topic)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			s.add(lines.Text())
		}
		s.add("over") // it may have panicked before it was running
	})
	tell := func(line string) { _, _ = io.WriteString(in, line+"\n") }
	over := sync.OnceFunc(func() { reading.Wait(); _ = cmd.Wait() })
	t.Cleanup(func() { _ = in.Close(); over() })
	require.True(t, s.until(time.Minute, func() bool { return s.of("running")+s.of("over") > 0 }))
	return service{
		release: func() { tell("release") },
		stop:    func() { tell("stop"); over() },
		crash: func() string {
			for line := range strings.Lines(stderr.String()) {
				if strings.HasPrefix(line, "panic: ") {
					return strings.TrimSpace(line)
				}
			}
			return ""
		},
	}
}

// serve runs a service on Watermill alone until it is told to stop. What is another
// member's after two seconds is after 30 by default, and Watermill sets nothing there.
func serve(topic, url string) error {
	type goodbye = func(context.Context, watermill.LoggerAdapter)
	say := func(what string) { fmt.Println(what) } //nolint:forbidigo // to the parent
	sub, err := wjetstream.NewSubscriber(wjetstream.SubscriberConfig{
		URL: url, Logger: watermill.NopLogger{},
		ResourceInitializer: func(ctx context.Context, js jetstream.JetStream, topic string) (jetstream.Consumer, goodbye, error) {
			c, err := js.CreateOrUpdateConsumer(ctx, topic, jetstream.ConsumerConfig{ // as GroupedConsumer does
				Name: "watermill__g__" + topic, AckPolicy: jetstream.AckExplicitPolicy, AckWait: 2 * time.Second,
			})
			return c, nil, err
		},
	})
	if err != nil {
		return err
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: 10 * time.Second}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	release := make(chan struct{})
	h := handler(say, release)
	router.AddConsumerHandler("h", topic, sub, func(m *message.Message) error { return h(m.Context(), m.Metadata["ce_id"]) })
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			switch lines.Text() {
			case "release":
				close(release)
			case "stop":
				cancel()
			}
		}
	}()
	go func() {
		<-router.Running()
		say("running")
	}()
	err = router.Run(ctx)
	<-time.After(time.Second) // the library goes on in the background
	return err
}

// onTopic makes a topic and returns it, and a function that publishes to it as a service
// on Watermill. Its name is one that Watermill alone can have.
func onTopic(t *testing.T) (topic string, publish func(ids ...string)) {
	t.Helper()
	topic = name(t, "alone")
	nc, js := client(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: topic, Subjects: []string{topic}})
	require.NoError(t, err)
	pub, err := watermillnats.NewPublisherWithNatsConn(nc, watermillnats.PublisherPublishConfig{
		Marshaler: &watermillnats.NATSMarshaler{}, SubjectCalculator: watermillnats.DefaultSubjectCalculator,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	return topic, func(ids ...string) {
		for _, id := range ids {
			m, err := watermillbridge.Encode(event.New("/t", "e", nil).WithID(id))
			require.NoError(t, err)
			require.NoError(t, pub.Publish(topic, m))
		}
	}
}

func ids(name string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s-%d", name, i))
	}
	return out
}

// seen notes what handlers say.
type seen struct {
	mu   sync.Mutex
	said map[string]int
	news chan struct{}
}

func newSeen() *seen { return &seen{said: make(map[string]int), news: make(chan struct{}, 1)} }

func (s *seen) add(what string) {
	s.mu.Lock()
	s.said[what]++
	s.mu.Unlock()
	select {
	case s.news <- struct{}{}:
	default:
	}
}

func (s *seen) of(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said[what]
}

// handled returns how many of ids were handled.
func (s *seen) handled(ids []string) (n int) {
	for _, id := range ids {
		n += min(s.of("end "+id), 1)
	}
	return n
}

// until waits until cond is true, but no longer than patience.
func (s *seen) until(patience time.Duration, cond func() bool) bool {
	late := time.After(patience)
	for !cond() {
		select {
		case <-s.news:
		case <-late:
			return false
		}
	}
	return true
}
