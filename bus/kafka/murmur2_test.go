package kafka

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/leat-go/leat/event"
)

// The hashes are those of the Java client's own test (UtilsTest.testMurmur2). Keys of
// all kinds are compared with that client itself in test/kafka.
func TestKeysGoWhereTheJavaClientPutsThem(t *testing.T) {
	for key, murmur2 := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		var r kgo.Record
		require.NoError(t, encode(&r, event.Attributes{ID: "1", Source: "/s", Type: "t", Key: key}.Event()))
		p := partitioner{}.ForTopic("t").(kgo.TopicBackupPartitioner)
		assert.True(t, p.RequiresConsistency(&r), key)
		for _, n := range []int{1, 2, 7, 12, 100} {
			assert.Equal(t, int(murmur2&0x7fffffff)%n, p.PartitionByBackup(&r, n, nil), "%s of %d", key, n)
		}
	}
}
