package kafka_test

import (
	"context"
	"crypto/tls"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// A cluster with a CA of its own.
func ExampleConfig_tls() {
	roots, cert, err := newAuthority("127.0.0.1") // a pool with the CA, and the broker's certificate
	if err != nil {
		fmt.Println(err)
		return
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()

	ctx := context.Background()
	ch := kafka.New(kafka.Config{
		Brokers: cluster.ListenAddrs(),
		TLS:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, // &tls.Config{} trusts the system's
	})
	defer func() { _ = ch.Close(ctx) }()
	fmt.Println(ch.EnsureTopic(ctx, event.TopicSpec{Name: "orders"}))
	// Output: <nil>
}
