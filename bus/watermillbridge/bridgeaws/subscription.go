package bridgeaws

import (
	"context"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wmsqs "github.com/ThreeDotsLabs/watermill-aws/sqs"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// subscription is one of the library, which has a message in hand until it is
// acknowledged, and then takes the next.
type subscription struct {
	s    *subscriber
	url  string // of the queue
	lib  *wmsqs.Subscriber
	end  context.CancelFunc // of the library's
	in   <-chan *message.Message
	out  chan *message.Message
	hand *string // the receipt of the message that the library handed out last
}

// subscribe begins a subscription of a queue.
func (s *subscriber) subscribe(ctx context.Context, queue string) (*subscription, error) {
	url, err := s.p.queueURL(ctx, queue)
	if err != nil {
		return nil, err
	}
	u := &subscription{s: s, url: url, out: make(chan *message.Message)}
	u.lib, err = wmsqs.NewSubscriber(wmsqs.SubscriberConfig{
		AWSConfig: s.p.cfg.AWS, DoNotCreateQueueIfNotExists: true,
		QueueUrlResolver: u, GenerateReceiveMessageInput: u.receive, Unmarshaler: u,
	}, s.logger)
	if err != nil {
		return nil, fmt.Errorf("subscriber: %w", err)
	}
	// The library forgets an Ack when its context ends: run lets it end when it has none.
	ctx, u.end = context.WithCancel(context.WithoutCancel(ctx))
	if u.in, err = u.lib.Subscribe(ctx, queue); err != nil {
		u.end()
		return nil, fmt.Errorf("subscriber: %w", err)
	}
	return u, nil
}

// ResolveQueueUrl implements [wmsqs.QueueUrlResolver].
func (u *subscription) ResolveQueueUrl( //nolint:staticcheck // the library calls it so
	_ context.Context, of wmsqs.ResolveQueueUrlParams,
) (wmsqs.QueueUrlResolverResult, error) {
	url := wmsqs.QueueURL(u.url)
	return wmsqs.QueueUrlResolverResult{QueueName: wmsqs.QueueName(of.Topic), QueueURL: &url, Exists: aws.Bool(true)}, nil
}

// receive asks for one message, since the time of those behind it would run meanwhile. It
// is hidden for as long as this member may have it, whatever the queue says.
func (u *subscription) receive(context.Context, wmsqs.QueueURL) (*sqs.ReceiveMessageInput, error) {
	return &sqs.ReceiveMessageInput{
		QueueUrl: aws.String(u.url), MaxNumberOfMessages: 1, WaitTimeSeconds: int32(u.s.p.cfg.Poll / time.Second),
		VisibilityTimeout: int32((u.s.p.cfg.Lease + margin) / time.Second), MessageAttributeNames: []string{"All"},
	}, nil
}

// Unmarshal implements [wmsqs.Unmarshaler].
func (u *subscription) Unmarshal(m *types.Message) (*message.Message, error) {
	u.hand = m.ReceiptHandle
	return unmarshal(m), nil
}

// run hands messages on until ctx ends.
func (u *subscription) run(ctx context.Context) {
	defer close(u.out)
	for ctx.Err() == nil {
		select {
		case m, ok := <-u.in:
			if !ok {
				return
			}
			u.pass(ctx, m)
		case <-ctx.Done():
		}
	}
	u.end()
	for range u.in { // what a poll still brings; the library waits for ever for somebody to take it
		u.giveBack(ctx, u.hand)
	}
	_ = u.lib.Close() // all has ended but a goroutine that waits for this
}

// pass hands a message on and waits for what becomes of it.
func (u *subscription) pass(ctx context.Context, m *message.Message) {
	receipt := u.hand
	select {
	case u.out <- m:
	case <-ctx.Done():
		u.giveBack(ctx, receipt)
		return
	}
	select {
	case <-m.Acked():
	case <-m.Nacked():
	case <-ctx.Done():
	}
	select { // it may have been acknowledged just before the end
	case <-m.Acked():
		<-m.Context().Done() // the library ends it when the message is deleted, or can't be
	case <-m.Nacked():
		u.giveBack(ctx, receipt)
	default: // it is another member's by now
	}
}

// giveBack shows a message to all members again. One that can't be given back comes again
// when its time is over.
func (u *subscription) giveBack(ctx context.Context, receipt *string) {
	_, err := u.s.p.queues.ChangeMessageVisibility(context.WithoutCancel(ctx), &sqs.ChangeMessageVisibilityInput{
		QueueUrl: aws.String(u.url), ReceiptHandle: receipt, VisibilityTimeout: 0,
	})
	if err != nil {
		u.s.logger.Error("A message comes again later", err, watermill.LogFields{"queue": u.url})
	}
}
