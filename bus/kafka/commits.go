package kafka

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// committed returns what a group has committed on topics: nothing, when nobody has
// heard of it.
func committed(ctx context.Context, adm *kadm.Client, group string, topics ...string) (kadm.OffsetResponses, error) {
	commits, err := persist(ctx, func() (kadm.OffsetResponses, error) {
		commits, err := adm.FetchOffsetsForTopics(ctx, group, topics...)
		if err == nil {
			err = firstOf(commits) // a transaction that is not over, if that matters
		}
		return commits, err
	})
	if unknown(err) {
		return kadm.OffsetResponses{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kafka: what group %q has committed: %w", group, err)
	}
	return commits, nil
}

// allCommitted returns what groups have committed on all topics, those that exist. Brokers
// since Kafka 4.1 tell it by the ids of topics, whose names the client forgets when they are
// a moment old, perhaps this moment: then it is asked again.
func allCommitted(ctx context.Context, adm *kadm.Client, groups ...string) (map[string]kadm.OffsetResponses, error) {
	return persist(ctx, func() (map[string]kadm.OffsetResponses, error) {
		all := make(map[string]kadm.OffsetResponses, len(groups))
		told := adm.FetchManyOffsets(ctx, groups...)
		for _, name := range groups { // kadm leaves out those that brokers before Kafka 3.0 refuse
			if _, ok := told[name]; !ok {
				return nil, fmt.Errorf("group %q: no answer", name)
			}
		}
		for name, res := range told {
			err := res.Err
			if err == nil {
				err = firstOf(res.Fetched)
			}
			if unknown(err) { // removed
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("group %q: %w", name, err)
			}
			delete(res.Fetched, "") // of a topic that was removed
			all[name] = res.Fetched
		}
		return all, nil
	})
}

// firstOf returns the first error of a partition. What isn't there has no commit.
func firstOf(commits kadm.OffsetResponses) error {
	for _, o := range commits.Sorted() {
		if o.Err != nil && !unknown(o.Err) {
			return fmt.Errorf("topic %q, partition %d: %w", o.Topic, o.Partition, o.Err)
		}
	}
	return nil
}

// commitAt commits for a group that has no members.
func commitAt(ctx context.Context, adm *kadm.Client, group string, at kadm.Offsets) error {
	commit := func() (struct{}, error) { return struct{}{}, adm.CommitAllOffsets(ctx, group, at) }
	// The coordinator learns of a new topic after those who lead it.
	_, err := persistIf(ctx, commit, func(err error) bool { return kerr.IsRetriable(err) && !inUse(err) })
	return err
}

// lister asks for offsets of topics: where they begin, where they end.
type lister = func(ctx context.Context, topics ...string) (kadm.ListedOffsets, error)

// listedOf is listed for topics that exist.
func listedOf(ctx context.Context, list lister, topics ...string) (kadm.ListedOffsets, error) {
	return persistFor(ctx, func() (kadm.ListedOffsets, error) {
		at, err := list(ctx, topics...)
		if err == nil {
			err = at.Error()
		}
		return at, err
	})
}

// listed is a lister's answer, once there is one.
func listed(ctx context.Context, list lister, topics ...string) (kadm.ListedOffsets, error) {
	return persist(ctx, func() (kadm.ListedOffsets, error) {
		at, err := list(ctx, topics...)
		if err == nil {
			err = at.Error()
		}
		return at, err
	})
}
