package redisstore_test

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/command/operationstest"
	"github.com/leat-go/leat/internal/servicetest"
	"github.com/leat-go/leat/stores/redisstore"
)

// A cluster refuses what touches more than one slot, also if it has a single node.
func TestOperationsOnACluster(t *testing.T) {
	server := servicetest.Start(t, "redis", servicetest.WithEnv("LEAT_REDIS_CLUSTER=yes"))
	node := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { require.NoError(t, node.Close()) })
	require.NoError(t, node.ClusterAddSlotsRange(t.Context(), 0, 16383).Err())
	require.Eventually(t, func() bool {
		info, err := node.ClusterInfo(t.Context()).Result()
		return err == nil && strings.HasPrefix(info, "cluster_state:ok")
	}, 30*time.Second, 50*time.Millisecond)

	prefix := private()
	operationstest.Run(t, func(tb testing.TB, keep time.Duration) command.Operations {
		tb.Helper()
		client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{server.Addr()}})
		ops := redisstore.NewOperations(client, redisstore.OperationsConfig{Prefix: prefix + tb.Name() + ":", Keep: keep})
		tb.Cleanup(func() {
			require.NoError(tb, ops.Close())
			require.NoError(tb, client.Close())
		})
		return ops
	})
}
