package kafkatest

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// One broker for all of it: starting one takes seconds.
func TestCluster(t *testing.T) {
	var broker, state string
	t.Run("runs", func(t *testing.T) {
		c := NewCluster(t, 1, WithSASL(), WithProps("num.partitions=3", "broker.session.timeout.ms=3100"))
		broker = c.Brokers()[0]
		state = stateOf(t, c)
		if len(c.Brokers()) != 1 || len(c.SASLBrokers()) != 1 {
			t.Fatal(c.Brokers(), c.SASLBrokers())
		}
		client := newClient(t, c.Brokers())
		wantUp(t, client)

		c.Kill(1)
		wantRefused(t, broker)
		c.Start(1)
		wantUp(t, client)

		c.Stop(1)
		wantRefused(t, broker)
		c.Start(1)
		wantUp(t, client)

		c.Pause(1)
		if conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", broker); err != nil {
			t.Errorf("a paused broker accepts nothing: %v", err)
		} else if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := ping(t, client, time.Second); err == nil {
			t.Error("a paused broker answers")
		}
		c.Resume(1)
		wantUp(t, client)

		wantCLI(t, c)
		wantProp(t, client, "broker.session.timeout.ms", "3100") // WithProps wins
		wantProp(t, client, "broker.heartbeat.interval.ms", "500")
		wantUsers(t, c)
	})
	if broker == "" {
		return // skipped
	}
	wantRefused(t, broker)
	if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("data are left in %s: %v", state, err)
	}
}

// stateOf returns the directory that has the cluster's data.
func stateOf(t *testing.T, c *Cluster) string {
	t.Helper()
	state, err := c.server.Pipe(nil, "state")
	if err != nil {
		t.Fatal(err)
	}
	state = strings.TrimSpace(state)
	if _, err := os.Stat(state); err != nil {
		t.Fatal(err)
	}
	return state
}

func wantCLI(t *testing.T, c *Cluster) {
	t.Helper()
	if out, err := c.CLI("TopicCommand", "--create", "--topic", "made"); err != nil {
		t.Error(out, err)
	}
	out, err := c.CLI("TopicCommand", "--describe", "--topic", "made")
	if err != nil || !strings.Contains(out, "PartitionCount: 3") { // WithProps
		t.Error(out, err)
	}
	if _, err := c.CLI("TopicCommand", "--delete", "--topic", "none"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a tool's error is lost: %v", err)
	}
}

func wantUsers(t *testing.T, c *Cluster) {
	t.Helper()
	for _, u := range []struct {
		user  Credentials
		topic string
		want  error
	}{
		{c.Admin(), "any", nil},
		{c.Limited(), "limited-one", nil},
		{c.Limited(), "any", kerr.TopicAuthorizationFailed},
		{Credentials{"limited", "wrong"}, "limited-one", kerr.SaslAuthenticationFailed},
	} {
		auth := scram.Auth{User: u.user.User, Pass: u.user.Password}
		client := newClient(t, c.SASLBrokers(), kgo.SASL(auth.AsSha512Mechanism()))
		if err := createTopic(t, client, u.topic); !errors.Is(err, u.want) {
			t.Errorf("%s makes topic %s: %v, want %v", u.user.User, u.topic, err, u.want)
		}
	}
}

func wantProp(t *testing.T, client *kgo.Client, name, want string) {
	t.Helper()
	broker := kmsg.NewDescribeConfigsRequestResource()
	broker.ResourceType, broker.ResourceName, broker.ConfigNames = kmsg.ConfigResourceTypeBroker, "1", []string{name}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, broker)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range resp.Resources[0].Configs {
		if c.Name == name && c.Value != nil && *c.Value == want {
			return
		}
	}
	t.Errorf("%s is not %s: %+v", name, want, resp.Resources[0])
}

func createTopic(t *testing.T, client *kgo.Client, name string) error {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, -1, -1
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly = true
	req.Topics = append(req.Topics, topic)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(resp.Topics[0].ErrorCode)
}

func newClient(t *testing.T, seeds []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(seeds...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func ping(t *testing.T, client *kgo.Client, patience time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return client.Ping(ctx)
}

// wantUp fails when the broker doesn't answer soon. The first answers may be the
// ends of connections that are dead.
func wantUp(t *testing.T, client *kgo.Client) {
	t.Helper()
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	err := errors.New("not asked")
	for range 100 {
		if err = ping(t, client, 10*time.Second); err == nil {
			return
		}
		<-again.C
	}
	t.Fatalf("the broker doesn't answer: %v", err)
}

func wantRefused(t *testing.T, addr string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		defer conn.Close()
		t.Fatalf("something listens on %s still", addr)
	}
}
