package kafka_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

func ExampleScramSHA512() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.Superuser("SCRAM-SHA-512", "shop", "secret"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	ctx := context.Background()
	ch := kafka.New(kafka.Config{
		Brokers:        cluster.ListenAddrs(),
		SASL:           kafka.ScramSHA512("shop", "secret"),
		SASLWithoutTLS: true, // in a test; elsewhere set TLS
	})
	defer func() { _ = ch.Close(ctx) }()
	fmt.Println(ch.EnsureTopic(ctx, event.TopicSpec{Name: "orders"}))
	// Output: <nil>
}

// PLAIN sends the password: without TLS it is refused.
func ExamplePlain() {
	ch := kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:9092"}, SASL: kafka.Plain("shop", "secret")})
	fmt.Println(ch.EnsureTopic(context.Background(), event.TopicSpec{Name: "orders"}))

	// Output:
	// kafka: Config.SASL is PLAIN and Config.TLS is nil: the network would see the credentials; set TLS, or SASLWithoutTLS if that is meant
}

// A password that is changed while the process runs: the file is read for each new
// connection.
func ExampleScramSHA512From() {
	mechanism := kafka.ScramSHA512From(func(context.Context) (kafka.Login, error) {
		password, err := os.ReadFile("/run/secrets/kafka")
		return kafka.Login{User: "shop", Password: strings.TrimSpace(string(password))}, err
	})
	fmt.Println(mechanism.Name())
	// Output: SCRAM-SHA-512
}

func ExampleScramSHA256() {
	fmt.Println(kafka.ScramSHA256("shop", "secret").Name())
	// Output: SCRAM-SHA-256
}

func ExampleOAuthBearer() {
	tokens := func(context.Context) (string, error) { return "a token of your identity provider", nil }
	cfg := kafka.Config{Brokers: []string{"kafka.example:9093"}, TLS: new(tls.Config), SASL: kafka.OAuthBearer(tokens)}
	fmt.Println(cfg.SASL.Name())
	// Output: OAUTHBEARER
}

func ExampleMSKIAM() {
	mechanism := kafka.MSKIAM(func(context.Context) (kafka.AWSCredentials, error) {
		return kafka.AWSCredentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
	})
	cfg := kafka.Config{Brokers: []string{"b-1.shop.c2.kafka.eu-central-1.amazonaws.com:9098"}, TLS: new(tls.Config), SASL: mechanism}
	fmt.Println(cfg.SASL.Name())
	// Output: AWS_MSK_IAM
}
