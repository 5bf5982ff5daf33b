// Package kafka is the engine on Apache Kafka, and on whatever speaks its protocol.
//
//	b := bus.New(bus.Config{App: "shop", Channel: kafka.New(kafka.Config{Brokers: []string{"127.0.0.1:9092"}})})
//
// It implements the contract in package event. This is what it promises beyond that.
//
// # On the wire
//
// Events are CloudEvents in the binary mode of the Kafka binding: attributes are headers
// with the prefix ce_, the data is the record's value, the key is the record's key.
// Events in structured mode are read too. A record without an event's headers is
// delivered as bytes that are no event.
//
// Keys decide the partition as they do in the Java client (murmur2). A record of another
// client that has a key and no partitionkey attribute has that key: as text, or in
// hexadecimal digits after 0x where it is none.
//
// # Topics
//
// Topics are made when they are first named, as Config.Topics says. A group G on a topic
// T has two topics of its own, with as many partitions and without an end to their
// retention: T.G.dead holds its dead letters, and T.G.redrive what is for it alone:
// redriven, replayed and delayed events. Config.DelayTopics adds T.G.delay. They are made when its first member joins, so that
// nobody learns of a missing right at the first dead letter. Both names together must be
// a topic's name: letters, digits and ._- only, 249 bytes.
//
// # Groups
//
// A group exists on a topic once it has committed there, which EnsureGroup and the first
// Consumer do. Brokers forget what a group without members has committed after
// offsets.retention.minutes, 7 days by default; then it is a new one.
//
// What is settled is committed within Config.CommitInterval, and at the end of a tenure
// and of a member: the offset below which all is settled, and in the metadata what is
// settled above it and how often the rest has failed. The next owner repeats none of it.
// 4,096 bytes of metadata tell of 24,000 offsets; a member has at most 16,384 records of
// a partition open at once and reads no further until the oldest of them is settled.
//
// When partitions move, what is in hand may be finished within Subscription.Grace; what
// is held for a retry, and what waits behind that, is given up at once. While a grace
// runs the member reads nothing new. A member that hears nothing from the coordinator
// for a session timeout gives up by its own clock what it has.
//
// # Positions
//
// A position is the partition and the offset plus one. What takes another way, through
// the dead letters or the delay topic, keeps the position that it had in its topic, and
// the gap before it; an event of ProduceTo never stood there and has none. Markers of
// transactions, aborted records and what compaction left out are gaps, and so is, when a
// partition is new to a member, all that the group has settled of it: with it what waits
// behind a parked key since an earlier tenure, which comes all the same. With
// Config.DelayTopics what was settled before is no gap, since it may wait there for its time; nor are
// the markers behind the last of it. [Channel.Ends] passes over markers.
//
// # Retries
//
// A partition can't take events back one by one (GivesBack is false): the bus holds what
// it will try again, and other keys of the partition go on.
//
// Events with a NotBefore, at most Config.MaxDelay ahead, are held by the owner of their
// partition. With Config.DelayTopics those that are due in 4 seconds or more wait in a
// topic of the group, T.G.delay, until then: any number of them, in nobody's way. They
// come once unless a member dies while it passes them on.
//
// # Dead letters and parked keys
//
// A dead letter is the failed record, key, value and headers unchanged, with the cause
// in headers that begin with leat_, in the partition of its topic's own partition. The
// owner of a partition reads the dead letters there before it hands out an event, and so
// knows which keys are parked. A redrive or a discard is a record in the same topic:
// the owner carries it out, now or when there is one. If it dies between copying a
// letter to the redrive topic and saying so, the letter comes twice.
//
// # Connections and trust
//
// Connections are plain unless Config.TLS is set, which may be an empty tls.Config: then
// the broker's certificate is verified against the system's roots and the name in the
// broker's address, with TLS 1.2 or newer. [Plain], [ScramSHA256], [ScramSHA512],
// [OAuthBearer] and [MSKIAM] sign in; SASL without TLS is refused unless
// Config.SASLWithoutTLS is set. Those that take a function ask it for each new
// connection: passwords and tokens may change while the process runs. Neither events nor
// credentials are in an error or a log.
//
// A broker that refuses a connection, for a wrong password or a certificate that isn't
// trusted, is named in the error, with the mechanism. So that nothing waits for it
// without an end, Produce and a member's start return the refusal when it goes on for 5
// seconds or so while they wait, also without a deadline; events that were sent by then
// may still be written when the broker lets us in. Brokers that are away are no refusal.
// Consumers tell it to Subscription.OnError and go on trying; so they do when a right or a
// topic is taken away. The same error is told once in 10 seconds.
//
// A user needs, on the topic T and for the group G: to produce, Write on T. To consume,
// Read on T and on the group G, and Read and Write on T.G.dead and T.G.redrive, and T.G.delay if there is one, where
// brokers say what is allowed; Consumer fails and names the topic if a right is missing.
// To make topics, Create on them. Whoever doesn't see the configuration of topics
// (DescribeConfigs) gets the sizes of a broker that nobody configured.
//
// Those who have options of their own for kgo hand their client to [FromClient].
//
// # Producing
//
// Records are acknowledged by all replicas in sync (acks=all) and written once however
// often the client repeats itself (an idempotent producer). There is no linger: what is
// produced while a request is on its way goes with the next. While the brokers are away
// calls wait until their context ends (but see refusals, above), and at most Config.MaxBuffered bytes wait.
//
// # Transactions
//
// With Config.Transactions, what a handler publishes on the channel that it consumes
// from, and the settlement of what it handled, are one transaction of the brokers: both
// happen or neither does, whatever vanishes in between. A handler may run twice; what it
// published is there once, in the order of its key, for all who read committed records,
// as every consumer of leat does. A reader of uncommitted records sees also what was
// aborted. The members of a group should agree; its topics and those of the handlers'
// events must be on one cluster, and that of Apache Kafka 2.5 or newer.
//
// Not in the transaction, and so at least once as ever: effects elsewhere, what is sent
// at once (bus.Now, replies), dead letters, redrives, the way of a delayed event through
// a delay topic, and what an ephemeral consumer's
// handler publishes. A hook is told of a publish when it is kept, not when it is
// committed.
//
// A publish that a handler has collected is checked, encoded and kept with its delivery,
// within Config.MaxBuffered. Settle writes what all of its acks keep, with the offsets
// and the metadata of their partitions, in one transaction; an ack that keeps nothing is
// committed later, as without. The coordinator refuses the offsets of a member that is
// none any more (KIP-447), and tells the next owner nothing before the transaction is
// over. A transaction without an answer is ended by its successor, and the group's
// offsets tell what became of it. An event that the brokers refuse when it is written
// (a topic removed, a right withdrawn) keeps its delivery in hand with
// event.ErrFull; the others of its Settle go on.
//
// The transactional id is the name of the group, a dot, and random characters, new for
// each consumer: no two ever fence each other by mistake, and rights are given by
// prefix. What a process that died had open ends after Config.TransactionTimeout and
// as long as the coordinator takes to look (10 s by default,
// transaction.abort.timed.out.transaction.cleanup.interval.ms); until then readers of
// the topics that it wrote to, and the next owner of its partitions, wait. A transaction
// takes milliseconds; one that takes as long as the timeout is aborted and tried again.
//
// Each Settle waits for its transaction: throughput comes with what is settled at once,
// so with InFlight and the number of keys.
package kafka
