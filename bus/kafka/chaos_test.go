package kafka_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/internal/kafkatest"
)

// TestChaos has three brokers, a hundred thousand events, and members that come and go,
// first in good order, by both protocols, and then not: leaders move, a broker is
// killed and comes back, another hangs, a member is cut off, and one's process is
// killed.
func TestChaos(t *testing.T) {
	kafkatest.Long(t)
	cluster := kafkatest.NewCluster(t, 3)
	t.Run("server side", func(t *testing.T) { realChaos(t, cluster, true, 100) })
	t.Run("classic", func(t *testing.T) { realChaos(t, cluster, false, 100) })
}

// realCrowd is a crowd on real brokers.
type realCrowd struct {
	*crowd

	cluster *kafkatest.Cluster
	adm     *kadm.Client
	ch      *kafka.Channel
}

func realChaos(t *testing.T, cluster *kafkatest.Cluster, serverSide bool, orderly int) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(cluster.Brokers()...))
	require.NoError(t, err)
	defer cl.Close()
	cfg := kafka.Config{
		Brokers: cluster.Brokers(), SessionTimeout: patient, ServerSide: serverSide, Topics: kafka.TopicDefaults{Partitions: 12, Replicas: 3},
	}
	r := &realCrowd{cluster: cluster, adm: kadm.NewClient(cl), ch: kafka.New(cfg)}
	defer func() { assert.NoError(t, r.ch.Close(context.WithoutCancel(t.Context()))) }()
	r.crowd = newCrowd(t, strings.ReplaceAll("chaos-"+t.Name()[len("TestChaos/"):], "_", "-"), func() *kafka.Channel { return kafka.New(cfg) })
	if serverSide {
		setSession(t, cl, crowdGroup, patient)
	}
	r.pace = 500 * time.Millisecond

	r.inOrder(orderly)
	if !serverSide {
		cfg.SessionTimeout = session // of those who join from now on
		r.inDisorder(400)
	}
	r.letters(r.ch)
}

// patient is a session timeout that a busy machine doesn't reach.
const patient = 30 * time.Second

// setSession says how long a vanished member of a group keeps its partitions.
func setSession(t *testing.T, cl *kgo.Client, group string, d time.Duration) {
	t.Helper()
	ms := strconv.FormatInt(d.Milliseconds(), 10)
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = "consumer.session.timeout.ms", kmsg.IncrementalAlterConfigOpSet, &ms
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeGroupConfig, group
	r.Configs = append(r.Configs, c)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.Resources = append(req.Resources, r)
	res, err := req.RequestWith(t.Context(), cl)
	require.NoError(t, err)
	require.NoError(t, kerr.ErrorForCode(res.Resources[0].ErrorCode))
}

// inOrder lets members join and leave in good order, n events of each key.
func (r *realCrowd) inOrder(n int) {
	start := time.Now()
	random := rand.New(rand.NewPCG(1, 2))
	members := []*participant{r.join(), r.join()}
	produced := r.load(r.ch, 200, n)
	for i := range 10 {
		pause(r.t.Context(), time.Duration(random.IntN(600))*time.Millisecond)
		switch {
		case len(members) < 3 || len(members) < 6 && random.IntN(2) == 0:
			members = append(members, r.join())
		case i%3 == 2: // two at once, while a third comes
			var left sync.WaitGroup
			for _, m := range members[:2] {
				left.Go(func() { r.leave(m) })
			}
			members = append(members[2:], r.join())
			left.Wait()
		default:
			r.leave(members[0])
			members = members[1:]
		}
	}
	produced()
	r.settle(r.ch, time.Minute)
	doubles := r.doubled()
	assert.Empty(r.t, doubles, "handled twice on orderly rebalances")
	r.report("in good order", start, len(doubles))
	for _, m := range members {
		r.leave(m)
	}
}

// inDisorder breaks one thing after the other.
func (r *realCrowd) inDisorder(n int) {
	start := time.Now()
	members := []*participant{r.join(), r.join()}
	handler := r.serve()
	before := r.pace
	r.pace = 600 * time.Millisecond
	defer func() { r.pace = before }()
	produced := r.load(r.ch, 200, n)
	step := func(what string, f func()) {
		at := time.Now()
		f()
		r.t.Logf("%v: %s, %v", at.Sub(start).Round(100*time.Millisecond), what, time.Since(at).Round(100*time.Millisecond))
		pause(r.t.Context(), time.Second)
	}
	var proc *process
	step("a member in a process of its own", func() { proc = r.spawn(r.cluster.Brokers(), handler) })
	step("leaders move", r.moveLeaders)
	step("broker 1 is killed", func() { r.cluster.Kill(1) })
	step("a member joins", func() { members = append(members, r.join()) })
	step("the process is killed", proc.kill)
	step("broker 1 comes back", func() { r.cluster.Start(1) })
	cut := members[0]
	step("a member is cut off", func() { r.crash(cut) })
	members = members[1:]
	step("broker 2 hangs", func() { r.cluster.Pause(2) })
	pause(r.t.Context(), 6*time.Second)
	step("a member leaves", func() { // what it can't commit, others handle again
		if err := r.depart(members[0]); err != nil {
			r.t.Log(err)
		}
	})
	members = members[1:]
	step("broker 2 goes on", func() { r.cluster.Resume(2) })
	step("a member joins", func() { members = append(members, r.join()) })
	step("leaders move", r.moveLeaders)
	produced()
	step("all is handled", func() { r.settle(r.ch, 90*time.Second) })
	r.report("in bad order", start, len(r.doubled()))
	r.bury(cut)
	for _, m := range members {
		r.leave(m)
	}
}

// moveLeaders lets another replica of every partition lead.
func (r *realCrowd) moveLeaders() {
	var req kadm.AlterPartitionAssignmentsReq
	topics, err := r.adm.ListTopics(r.t.Context(), r.topic)
	require.NoError(r.t, err)
	topics.EachPartition(func(p kadm.PartitionDetail) {
		req.Assign(p.Topic, p.Partition, append(p.Replicas[1:len(p.Replicas):len(p.Replicas)], p.Replicas[0]))
	})
	_, err = r.adm.AlterPartitionAssignments(r.t.Context(), req)
	require.NoError(r.t, err)
	_, err = r.adm.ElectLeaders(r.t.Context(), kadm.ElectPreferredReplica, topics.TopicsSet())
	require.NoError(r.t, err)
}
