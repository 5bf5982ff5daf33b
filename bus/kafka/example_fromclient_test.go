package kafka_test

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

func ExampleFromClient() {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer cluster.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ProducerBatchCompression(kgo.ZstdCompression()))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.Close() // the channel doesn't

	ctx := context.Background()
	ch := kafka.FromClient(client, kafka.Config{Topics: kafka.TopicDefaults{Partitions: 12}})
	defer func() { _ = ch.Close(ctx) }()
	fmt.Println(ch.EnsureTopic(ctx, event.TopicSpec{Name: "orders"}))

	member, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.ConsumerGroup("mine"), kgo.ConsumeTopics("orders"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer member.Close()
	refused := kafka.FromClient(member, kafka.Config{})
	fmt.Println(refused.EnsureTopic(ctx, event.TopicSpec{Name: "orders"}))

	// Output:
	// <nil>
	// kafka: FromClient: the client's option ConsumerGroup is refused: what is consumed, and by which group, is said by the subscriptions
	// kafka: FromClient: the client's option ConsumeTopics is refused: what is consumed, and by which group, is said by the subscriptions
}
