package kafka_test

import (
	"strconv"
	"testing"

	"github.com/IBM/sarama"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Sarama's own choice is another hash: docs/kafka.md warns of it.
func TestSaramaPutsKeysElsewhere(t *testing.T) {
	const n = 7
	theirs := sarama.NewHashPartitioner("t")
	ours := kgo.StickyKeyPartitioner(nil).ForTopic("t") // that of the Java client
	same := 0
	for i := range 700 {
		key := "customer-" + strconv.Itoa(i)
		p, err := theirs.Partition(&sarama.ProducerMessage{Key: sarama.StringEncoder(key)}, n)
		require.NoError(t, err)
		if int(p) == ours.Partition(&kgo.Record{Key: []byte(key)}, n) {
			same++
		}
	}
	assert.Less(t, same, 200, "Sarama agrees now: take the warning away")
}
