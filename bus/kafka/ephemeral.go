package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// prepareEphemeral lets a consumer start behind what is there now: of all partitions,
// without a group.
func (ch *Channel) prepareEphemeral(ctx context.Context, c *consumer) error {
	for _, topic := range c.sub.Topics {
		if err := checkTopic(topic); err != nil {
			return err
		}
		if _, err := ch.ensure(ctx, event.TopicSpec{Name: topic}, nil); err != nil {
			return err
		}
	}
	adm, err := ch.admin()
	if err != nil {
		return err
	}
	ends, err := listedOf(ctx, adm.ListCommittedOffsets, c.sub.Topics...)
	if err != nil {
		return fmt.Errorf("kafka: where %q end: %w", c.sub.Topics, err)
	}
	c.begin = make(map[partition]kgo.Offset)
	for topic, ps := range ends {
		for n, o := range ps {
			c.begin[partition{topic, n}] = kgo.NewOffset().At(o.Offset)
		}
	}
	return nil
}
