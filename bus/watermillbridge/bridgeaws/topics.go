package bridgeaws

import (
	"context"
	"fmt"

	wmsns "github.com/ThreeDotsLabs/watermill-aws/sns"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

var _ wmsns.TopicResolver = (*pubSub)(nil)

// ensureTopic makes a topic unless it exists.
func (p *pubSub) ensureTopic(ctx context.Context, topic string) error {
	_, err := p.ResolveTopic(ctx, topic)
	return err
}

// ResolveTopic implements [wmsns.TopicResolver]: it makes a topic unless it exists, and
// returns its ARN.
func (p *pubSub) ResolveTopic(ctx context.Context, topic string) (wmsns.TopicArn, error) {
	name := TopicName(topic)
	if p.cfg.Existing != "" {
		return wmsns.TopicArn(p.cfg.Existing + ":" + name), nil
	}
	if known, ok := p.known(p.arns, name); ok {
		return wmsns.TopicArn(known), nil
	}
	input := &sns.CreateTopicInput{Name: aws.String(name)}
	if p.cfg.KMSKey != "" {
		input.Attributes = map[string]string{"KmsMasterKeyId": p.cfg.KMSKey}
	}
	out, err := p.topics.CreateTopic(ctx, input) // which returns the one that exists
	if err != nil {
		return "", fmt.Errorf("SNS topic %s: %w", name, err)
	}
	p.learn(p.arns, name, aws.ToString(out.TopicArn))
	return wmsns.TopicArn(aws.ToString(out.TopicArn)), nil
}

func (p *pubSub) known(of map[string]string, name string) (string, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	known, ok := of[name]
	return known, ok
}

func (p *pubSub) learn(of map[string]string, name, known string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of[name] = known
}
