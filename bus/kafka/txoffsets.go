package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"github.com/leat-go/leat/event"
)

// version2 reports whether the cluster's transactions are of version 2 (KIP-890): what
// is written belongs to the producer's transaction without being announced, and its
// epoch grows with each.
func (w *transactor) version2(ctx context.Context) (bool, error) {
	cl, err := w.s.c.ch.use()
	if err != nil {
		return false, err
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "leat", "0"
	res, err := req.RequestWith(ctx, cl)
	if err != nil {
		return false, err
	}
	if err := kerr.ErrorForCode(res.ErrorCode); err != nil {
		return false, err
	}
	for _, f := range res.FinalizedFeatures {
		if f.Name == "transaction.version" {
			return f.MaxVersionLevel >= 2, nil
		}
	}
	return false, nil
}

// versions returns the newest requests that a transactional producer uses: all of the
// same version of transactions, and with the names of topics.
func versions(v2 bool) *kversion.Versions {
	v := kversion.Stable()
	v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 5) // then come topic ids
	if !v2 {
		v.SetMaxKeyVersion(int16(kmsg.TxnOffsetCommit), 4)
		v.SetMaxKeyVersion(int16(kmsg.EndTxn), 4)
	}
	return v
}

// offsets adds what is settled to a transaction. The coordinator refuses it when the
// member is none any more, or another generation has begun. Until the transaction is
// over, it tells nobody what is committed of these partitions.
func (w *transactor) offsets(ctx context.Context, cl *kgo.Client, by membership, marks map[partition]mark) error {
	if by.member == "" {
		return event.ErrLeaseLost
	}
	id, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	if !w.v2 {
		if err := w.announce(ctx, cl, id, epoch); err != nil {
			return err
		}
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group = w.s.c.txID, w.s.c.sub.Group
	req.ProducerID, req.ProducerEpoch = id, epoch
	req.MemberID, req.Generation = by.member, by.generation
	req.Topics = topicsOf(marks)
	return untilSettled(ctx, func() error {
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		return w.judge(res)
	})
}

func topicsOf(marks map[partition]mark) (topics []kmsg.TxnOffsetCommitRequestTopic) {
	at := make(map[string]int)
	for p, m := range marks {
		i, known := at[p.topic]
		if !known {
			i = len(topics)
			at[p.topic] = i
			t := kmsg.NewTxnOffsetCommitRequestTopic()
			t.Topic = p.topic
			topics = append(topics, t)
		}
		one := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		one.Partition, one.Offset, one.LeaderEpoch, one.Metadata = p.n, m.at, -1, &m.metadata
		topics[i].Partitions = append(topics[i].Partitions, one)
	}
	return topics
}

// announce adds the group's offsets to a transaction of version 1.
func (w *transactor) announce(ctx context.Context, cl *kgo.Client, id int64, epoch int16) error {
	req := kmsg.NewPtrAddOffsetsToTxnRequest()
	req.TransactionalID, req.Group = w.s.c.txID, w.s.c.sub.Group
	req.ProducerID, req.ProducerEpoch = id, epoch
	return untilSettled(ctx, func() error {
		res, err := req.RequestWith(ctx, cl)
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(res.ErrorCode)
	})
}

// untilSettled calls f again while the transaction before is being finished.
func untilSettled(ctx context.Context, f func() error) error {
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := f()
		if !errors.Is(err, kerr.ConcurrentTransactions) || sleep(ctx, pause) != nil {
			return err
		}
	}
}

// judge returns the first error of the offsets of a transaction.
func (w *transactor) judge(res *kmsg.TxnOffsetCommitResponse) error {
	ch := w.s.c.ch
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			err := kerr.ErrorForCode(p.ErrorCode)
			if err == nil {
				continue
			}
			if errors.Is(err, kerr.OffsetMetadataTooLarge) {
				ch.metadataLimit.Store(ch.metadataLimit.Load() / 2)
			}
			return fmt.Errorf("topic %q, partition %d: %w", t.Topic, p.Partition, err)
		}
	}
	return nil
}

// isCommitted reports whether what marks say is committed. Each of them says more than
// any commit before: it is there only if its transaction was committed.
func (w *transactor) isCommitted(ctx context.Context, marks map[partition]mark) (bool, error) {
	adm, err := w.s.c.ch.admin()
	if err != nil {
		return false, err
	}
	var topics []string
	for _, t := range topicsOf(marks) {
		topics = append(topics, t.Topic)
	}
	commits, err := committed(kadm.RequireStable(ctx), adm, w.s.c.sub.Group, topics...)
	if err != nil {
		return false, err
	}
	for p, m := range marks {
		at, known := commits.Lookup(p.topic, p.n)
		if !known || at.At != m.at || at.Metadata != m.metadata {
			return false, nil
		}
	}
	return true, nil
}
