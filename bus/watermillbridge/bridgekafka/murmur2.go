package bridgekafka

import (
	"encoding/binary"
	"hash"
)

// murmur2 is the hash by which Kafka's clients find the partition of a key
// (org.apache.kafka.common.utils.Utils.murmur2). All of a key comes in one Write.
type murmur2 struct{ sum uint32 }

func newMurmur2() hash.Hash32 { return new(murmur2) }

const (
	murmurSeed = 0x9747b28c
	murmurMix  = 0x5bd1e995
)

// Write hashes a key.
func (m *murmur2) Write(key []byte) (int, error) {
	n := len(key)
	h := murmurSeed ^ uint32(n)
	for ; len(key) >= 4; key = key[4:] {
		k := binary.LittleEndian.Uint32(key) * murmurMix
		k ^= k >> 24
		h = h*murmurMix ^ k*murmurMix
	}
	if len(key) > 0 {
		for i, b := range key {
			h ^= uint32(b) << (8 * i)
		}
		h *= murmurMix
	}
	h ^= h >> 13
	h *= murmurMix
	m.sum = h ^ h>>15
	return n, nil
}

// Sum32 returns the hash.
func (m *murmur2) Sum32() uint32 { return m.sum }

// Sum appends the hash.
func (m *murmur2) Sum(b []byte) []byte { return binary.BigEndian.AppendUint32(b, m.sum) }

// Reset forgets the key.
func (m *murmur2) Reset() { m.sum = 0 }

// Size is the length of a hash, in bytes.
func (m *murmur2) Size() int { return 4 }

// BlockSize is the length of what is hashed at a time.
func (m *murmur2) BlockSize() int { return 4 }
