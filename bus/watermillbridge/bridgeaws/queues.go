package bridgeaws

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/leat-go/leat/event"
)

// ensureGroup makes the queue of a group on a topic unless it exists, and subscribes it.
func (p *pubSub) ensureGroup(ctx context.Context, group, topic string, _ event.Start) error {
	topicARN, err := p.ResolveTopic(ctx, topic)
	if err != nil {
		return err
	}
	name := QueueName(topic, group)
	url, err := p.findQueue(ctx, name)
	var none *types.QueueDoesNotExist
	switch {
	case p.cfg.Existing != "":
		return err
	case errors.As(err, &none):
		err = p.makeQueue(ctx, name, string(topicARN))
	case err == nil:
		err = p.checkQueue(ctx, name, url, string(topicARN))
	}
	if err != nil {
		return err
	}
	_, err = p.topics.Subscribe(ctx, &sns.SubscribeInput{
		TopicArn: aws.String(string(topicARN)), Protocol: aws.String("sqs"), Endpoint: aws.String(queueARN(string(topicARN), name)),
		Attributes: map[string]string{"RawMessageDelivery": "true"},
	})
	if err != nil {
		return fmt.Errorf("subscribe the SQS queue %s to %s: %w", name, topicARN, err)
	}
	return nil
}

// queueARN returns the ARN of the queue of a topic.
func queueARN(topicARN, name string) string {
	a, _ := arn.Parse(topicARN) // it is SNS's
	a.Service, a.Resource = "sqs", name
	return a.String()
}

// findQueue asks for the URL of a queue.
func (p *pubSub) findQueue(ctx context.Context, name string) (string, error) {
	out, err := p.queues.GetQueueUrl(ctx, &sqs.GetQueueUrlInput{QueueName: aws.String(name)})
	if err != nil {
		return "", fmt.Errorf("SQS queue %s: %w", name, err)
	}
	p.learn(p.urls, name, aws.ToString(out.QueueUrl))
	return aws.ToString(out.QueueUrl), nil
}

// queueURL returns the URL of a queue.
func (p *pubSub) queueURL(ctx context.Context, name string) (string, error) {
	if url, ok := p.known(p.urls, name); ok {
		return url, nil
	}
	return p.findQueue(ctx, name)
}

// makeQueue makes a queue that a topic can send to. Its policy is there from the start:
// one that is set later takes up to a minute, in which SNS would drop what it can't
// deliver.
func (p *pubSub) makeQueue(ctx context.Context, name, topicARN string) error {
	attributes := map[string]string{
		"VisibilityTimeout":      seconds(p.cfg.Lease + margin),
		"MessageRetentionPeriod": seconds(retention),
		"Policy":                 fmt.Sprintf(policyText, queueARN(topicARN, name), topicARN),
	}
	if p.cfg.KMSKey == "" {
		attributes["SqsManagedSseEnabled"] = "true"
	} else {
		attributes["KmsMasterKeyId"] = p.cfg.KMSKey
	}
	_, err := p.queues.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: aws.String(name), Attributes: attributes})
	var exists *types.QueueNameExists
	if err != nil && !errors.As(err, &exists) { // made by another member just now, with another lease
		return fmt.Errorf("make the SQS queue %s: %w", name, err)
	}
	select {
	case <-time.After(p.take.young):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }

// policyText lets a topic, and no other, send to a queue.
const policyText = `{"Version":"2012-10-17","Statement":[{"Sid":"leat","Effect":"Allow",` +
	`"Principal":{"Service":"sns.amazonaws.com"},"Action":"sqs:SendMessage","Resource":%q,` +
	`"Condition":{"ArnEquals":{"aws:SourceArn":%q}}}]}`

// checkQueue refuses a queue that nothing would arrive in, or not as secret as it should
// be. Everything else of a queue that exists is left as it is.
func (p *pubSub) checkQueue(ctx context.Context, name, url, topicARN string) error {
	out, err := p.queues.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl:       aws.String(url),
		AttributeNames: []types.QueueAttributeName{types.QueueAttributeNamePolicy, types.QueueAttributeNameKmsMasterKeyId},
	})
	switch {
	case err != nil:
		return fmt.Errorf("SQS queue %s: %w", name, err)
	case !strings.Contains(out.Attributes["Policy"], topicARN):
		return fmt.Errorf("SQS queue %s: its policy doesn't let %s send to it, so nothing would arrive", name, topicARN)
	case p.cfg.KMSKey != "" && out.Attributes["KmsMasterKeyId"] == "":
		return fmt.Errorf("SQS queue %s: it was made without Config.KMSKey, and is not encrypted with it", name)
	}
	return nil
}
