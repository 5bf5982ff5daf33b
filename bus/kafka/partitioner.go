package kafka

import "github.com/twmb/franz-go/pkg/kgo"

// partitioner is that of the Java client and of franz-go: a record goes where the
// murmur2 of its key says, one without a key to wherever a batch is being filled. A
// record that has its place already keeps it: see [to].
type partitioner struct{}

var spread = kgo.UniformBytesPartitioner(64<<10, true, true, nil)

// ForTopic implements [kgo.Partitioner].
func (partitioner) ForTopic(topic string) kgo.TopicPartitioner {
	return topicPartitioner{spread.ForTopic(topic).(kgo.TopicBackupPartitioner)}
}

type topicPartitioner struct{ kgo.TopicBackupPartitioner }

// to lets a record go to a partition, whatever its key says. The client numbers it
// anew when it is there.
func to(r *kgo.Record, partition int32) { r.Partition = -1 - partition }

// RequiresConsistency implements [kgo.TopicPartitioner].
func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition < 0 || p.TopicBackupPartitioner.RequiresConsistency(r)
}

// PartitionByBackup implements [kgo.TopicBackupPartitioner].
func (p topicPartitioner) PartitionByBackup(r *kgo.Record, n int, backup kgo.TopicBackupIter) int {
	if r.Partition < 0 {
		return int(-1 - r.Partition)
	}
	return p.TopicBackupPartitioner.PartitionByBackup(r, n, backup)
}
