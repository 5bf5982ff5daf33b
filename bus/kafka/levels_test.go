package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestLevelsOfDelays(t *testing.T) {
	for _, c := range []struct {
		d      time.Duration
		levels int
		want   int
	}{
		{-time.Second, delayLevels, -1},
		{0, delayLevels, -1},
		{shortest - 1, delayLevels, -1},
		{shortest, delayLevels, 0},
		{16*time.Second - 1, delayLevels, 0},
		{16 * time.Second, delayLevels, 1},
		{15 * time.Minute, delayLevels, 3},
		{24 * time.Hour, delayLevels, 7},
		{3 * 24 * time.Hour, delayLevels, 7},
		{4 * 24 * time.Hour, delayLevels, 8},
		{365 * 24 * time.Hour, delayLevels, 8},
		{time.Hour, 3, 2}, // a topic with fewer partitions
		{time.Hour, 0, -1},
	} {
		assert.Equal(t, c.want, levelOf(c.d, c.levels), "%v, %d levels", c.d, c.levels)
	}
}
