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
// those whose members subscribe to it. While a group is rebalanced, its members count for
// the topics on which it has committed; one that was killed counts until its session
// times out. An ephemeral consumer has no group. It asks for all groups of the cluster,
// the brokers all at once, in a few requests each.
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
	members, unsure, err := subscribers(ctx, adm, topic, names)
	if err != nil {
		return nil, err
	}
	commits, err := allCommitted(ctx, adm, names...)
	if err != nil {
		return nil, fmt.Errorf("kafka: the groups of topic %q: %w", topic, err)
	}
	for name, on := range commits {
		if hasCommitted(on[topic]) {
			members[name] += unsure[name]
		}
	}
	infos := make([]event.GroupInfo, 0, len(members))
	for name, n := range members {
		infos = append(infos, event.GroupInfo{Group: name, Members: n})
	}
	slices.SortFunc(infos, func(a, b event.GroupInfo) int { return strings.Compare(a.Group, b.Group) })
	return infos, nil
}

func hasCommitted(on map[int32]kadm.OffsetResponse) bool {
	for _, o := range on {
		if o.At >= 0 {
			return true
		}
	}
	return false
}

// subscribers counts the members of groups that subscribe to a topic, and those of which
// the broker doesn't tell: while a group of the older protocol is rebalanced.
func subscribers(ctx context.Context, adm *kadm.Client, topic string, names []string) (out, unsure map[string]int, err error) {
	out, unsure = make(map[string]int), make(map[string]int)
	described, err := adm.DescribeGroups(ctx, names...)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka: the members of groups: %w", err)
	}
	var newer []string // of the protocol of KIP-848
	for _, g := range described {
		if g.Err != nil {
			newer = append(newer, g.Group)
			continue
		}
		for _, m := range g.Members {
			joined, ok := m.Join.AsConsumer()
			switch {
			case !ok || g.State != "Stable":
				unsure[g.Group]++
			case slices.Contains(joined.Topics, topic):
				out[g.Group]++
			}
		}
	}
	if len(newer) == 0 {
		return out, unsure, nil
	}
	modern, err := adm.DescribeConsumerGroups(ctx, newer...)
	if err != nil {
		return nil, nil, fmt.Errorf("kafka: the members of groups: %w", err)
	}
	for _, g := range modern {
		for _, m := range g.Members {
			if slices.Contains(m.SubscribedTopics, topic) {
				out[g.Group]++
			}
		}
	}
	return out, unsure, nil
}
