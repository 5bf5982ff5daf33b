package kafka

import (
	"context"
	"fmt"
	"math"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// checkRights returns an error that names the topic where a member of a group lacks a
// right: it may read its topics, and read and write the group's own ones.
func (ch *Channel) checkRights(ctx context.Context, group string, topics []string) error {
	cl, err := ch.use()
	if err != nil {
		return err
	}
	needs := make(map[string][]kmsg.ACLOperation)
	for _, t := range topics {
		needs[t] = []kmsg.ACLOperation{kmsg.ACLOperationRead}
		for _, own := range append(ownTopics(t, group), delayTopic(t, group)) { // what isn't there is passed over
			needs[own] = []kmsg.ACLOperation{kmsg.ACLOperationRead, kmsg.ACLOperationWrite}
		}
	}
	req := kmsg.NewPtrMetadataRequest()
	req.IncludeTopicAuthorizedOperations = true
	for name := range needs {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return fmt.Errorf("kafka: asking for the rights of group %q: %w", group, err)
	}
	for _, t := range res.Topics {
		if t.Topic == nil || t.ErrorCode != 0 || t.AuthorizedOperations == math.MinInt32 {
			continue // older brokers don't say
		}
		for _, op := range needs[*t.Topic] {
			if t.AuthorizedOperations&(1<<op) == 0 {
				return fmt.Errorf("kafka: group %q needs the right to %s on topic %q: %w",
					group, op, *t.Topic, kerr.TopicAuthorizationFailed)
			}
		}
	}
	return nil
}
