package bridgekafka

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The hashes are those of the Java client's own test (UtilsTest.testMurmur2).
func TestMurmur2(t *testing.T) {
	for key, want := range map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	} {
		h := newMurmur2()
		_, err := h.Write([]byte(key))
		require.NoError(t, err)
		require.Equal(t, want, int32(h.Sum32()), key)
	}
}
