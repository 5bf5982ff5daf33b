// Package bridgekafka is Kafka through Watermill's library (watermill-kafka v3, on
// Sarama) as a leat channel: for services that share topics with services on Watermill
// and want the same client. Package bus/kafka is leat's own: it handles many events of a
// partition at once, and produces and consumes several times as fast. Both write and read
// the same records, which go to the same partitions, so that a service changes from one
// to the other by changing a line.
//
// # Groups
//
// A subscription is a member of the Kafka group, and handles one event of each of its
// partitions at a time: [Config].Subscriptions more of them don't help a member that has
// all partitions. What waits for a retry holds up its partition.
//
// A group G reads T.G.redrive as the Kafka group G.redrive, and those who look at dead
// letters T.G.dead as G.letters.
//
// When partitions move, what is in hand of them is lost at once: the contexts of its
// handlers end with [event.ErrLeaseLost], and it comes again. Watermill alone waits for
// such handlers for as long as a rebalance may take, and lets them go on beside those of
// the new owner.
//
// A new group starts where it is told to, by committing the offsets before its first
// member joins. Acks are committed once a second and when partitions move: a process
// that dies repeats a second's.
//
// # Topics
//
// Topics that don't exist are made, with [Config].Partitions and Replicas, and so are
// T.G.dead and T.G.redrive of a group G on a topic T.
//
// # What it sets
//
// Sarama waits for all in-sync replicas, produces idempotently and one request at a time,
// and puts a key where Kafka's own clients put it (murmur2). [Config].Sarama may change
// the rest: TLS, SASL, the client's id.
package bridgekafka
