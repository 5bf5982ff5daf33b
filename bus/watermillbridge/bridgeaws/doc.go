// Package bridgeaws makes a leat channel on SNS and SQS through
// github.com/ThreeDotsLabs/watermill-aws, for services that share topics with services on
// plain Watermill, or move from it.
//
//	cfg, err := config.LoadDefaultConfig(ctx)
//	channel, err := bridgeaws.New(bridgeaws.Config{AWS: cfg})
//	b := bus.New(bus.Config{App: "shop", Channel: channel})
//
// # What is made
//
// A topic is an SNS topic; a group on it is an SQS queue with a raw subscription. Whoever
// joins a group makes both unless they exist, and those for its dead letters
// (topic.group.dead) and redrives (topic.group.redrive): three of each for a group on a
// topic. [TopicName] and [QueueName] tell their names. A queue keeps messages for 14 days,
// the longest that SQS knows, is encrypted, and takes messages from its topic only. What
// exists is left as it is. A queue whose policy doesn't name its topic is refused: nothing
// would arrive in it.
//
// A group gets what is published from the time on when its queue was made: there is no
// history, and nobody may delete a queue and hope.
//
// # Who has a message
//
// A member has Config.Subscriptions messages of a topic in hand at once, each for as long
// as its handler and its retries take, and Config.Lease at most: then SQS gives it to
// another member, and the bridge takes it away. What waits for its retry takes one of
// these places; as many failing events as there are places hold up the others of the
// topic at this member. The lease is asked for with each message, so that members may
// differ in it, and the queue's own visibility timeout is for other readers.
//
// Close gives back at once what was not begun, and waits until what was acknowledged is
// deleted. A process that dies leaves what it had in hand to others after the lease. A
// message that SQS was just handing out when a member closed comes after the lease too.
//
// Events come in no order, not even those of a key, and at least once: SQS itself may
// repeat them.
//
// # Dead letters
//
// They are kept for 14 days and gone then, like everything in SQS: look at them in time.
// Who lists, redrives or discards some puts the others back, for another 14 days.
//
// # On the wire
//
// The body of a message is an event in CloudEvents' JSON, with binary data in base64; the
// attributes content-type, ce_type and ce_partitionkey are there to filter by. So is
// _watermill_message_uuid, as watermill-aws writes it. Six attributes at most: SNS drops a
// message with more than ten on its way to a queue, without an error. What comes from
// others with more metadata than that, or with some that no attribute can be, is redriven
// with the rest of it packed into the attribute leat_packed.
//
// An event has 240 KiB in this form, attributes included. SNS takes 256 KiB (see its
// quotas), and a dead letter needs room for its cause. A larger message of somebody else,
// who used all of the 256 KiB, can't become a dead letter: it stays in its queue.
//
// # Rights
//
// Publishers need sns:CreateTopic and sns:Publish; with [Config].Existing sns:Publish
// alone. Members need these for the topics of dead letters and redrives, and
// sqs:GetQueueUrl, sqs:ReceiveMessage, sqs:DeleteMessage and sqs:ChangeMessageVisibility;
// without Existing also sns:Subscribe, sqs:CreateQueue and sqs:GetQueueAttributes. With a
// key of your own, also kms:GenerateDataKey and kms:Decrypt on it.
package bridgeaws
