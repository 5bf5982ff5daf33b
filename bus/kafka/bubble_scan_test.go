//go:build synctests

package kafka_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/kafka"
)

// What is read to its end is removed before it is read.
func TestBubbleReadingEndsThoughTheLastIsRemoved(t *testing.T) {
	for name, to := range map[string]int64{"some are left": 4, "none is left": 5} {
		t.Run(name, func(t *testing.T) {
			bubble(t, 1, kafka.Config{}, func(v virtual) {
				v.produce(numberedEvents("a", 1, 5)...)
				require.NoError(v, v.cluster.DeleteRecords("orders", 0, to))
				ctx, cancel := context.WithTimeout(v.Context(), time.Hour)
				defer cancel()
				n, err := kafka.Scan(ctx, v.ch, "orders", 0, 0, 3)
				require.NoError(v, err)
				assert.Zero(v, n)
				n, err = kafka.Merge(ctx, v.ch, "orders", 0, 0, 3)
				require.NoError(v, err)
				assert.Zero(v, n)
			})
		})
	}
}
