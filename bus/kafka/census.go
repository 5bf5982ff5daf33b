package kafka

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/leat-go/leat/event"
)

var _ event.Census = (*Channel)(nil)

// Groups implements [event.Census]: the groups that have committed on a topic, and
// those whose members subscribe to it. It asks for all groups of the cluster.
func (ch *Channel) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	adm, err := ch.admin()
	if err != nil {
		return nil, err
	}
	all, err := adm.ListGroups(ctx)
	if err != nil {
		return nil, fmt.Errorf("kafka: the groups of topic %q: %w", topic, err)
	}
	var names []string
	for _, g := range all {
		if g.ProtocolType == "consumer" || g.ProtocolType == "" {
			names = append(names, g.Group)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	members, err := subscribers(ctx, adm, topic, names)
	if err != nil {
		return nil, err
	}
	for name, res := range adm.FetchManyOffsets(ctx, names...) {
		if res.Err != nil {
			return nil, fmt.Errorf("kafka: group %q: %w", name, res.Err)
		}
		for _, o := range res.Fetched[topic] {
			if o.At >= 0 {
				members[name] += 0
			}
		}
	}
	infos := make([]event.GroupInfo, 0, len(members))
	for name, n := range members {
		infos = append(infos, event.GroupInfo{Group: name, Members: n})
	}
	slices.SortFunc(infos, func(a, b event.GroupInfo) int { return strings.Compare(a.Group, b.Group) })
	return infos, nil
}

// subscribers counts the members of groups that subscribe to a topic.
func subscribers(ctx context.Context, adm *kadm.Client, topic string, names []string) (map[string]int, error) {
	out := make(map[string]int)
	described, err := adm.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: the members of groups: %w", err)
	}
	var newer []string // of the protocol of KIP-848
	for _, g := range described {
		if g.Err != nil {
			newer = append(newer, g.Group)
			continue
		}
		for _, m := range g.Members {
			if joined, ok := m.Join.AsConsumer(); ok && slices.Contains(joined.Topics, topic) {
				out[g.Group]++
			}
		}
	}
	if len(newer) == 0 {
		return out, nil
	}
	modern, err := adm.DescribeConsumerGroups(ctx, newer...)
	if err != nil {
		return nil, fmt.Errorf("kafka: the members of groups: %w", err)
	}
	for _, g := range modern {
		for _, m := range g.Members {
			if slices.Contains(m.SubscribedTopics, topic) {
				out[g.Group]++
			}
		}
	}
	return out, nil
}
