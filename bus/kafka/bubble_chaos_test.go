//go:build synctests

package kafka_test

import (
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/bus/kafka"
)

// Members join and leave, first in good order and then not, while brokers misbehave:
// nothing is lost, each key is in order, and in good order nothing is handled twice.
func TestBubbleChaos(t *testing.T) {
	for name, serverSide := range map[string]bool{"classic": false, "server side": true} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { bubbleChaos(t, serverSide) }) })
	}
}

func bubbleChaos(t *testing.T, serverSide bool) {
	t.Helper()
	f := newFake(t, 3, 12)
	f.cfg.ServerSide = serverSide
	f.SetGroupConfigs(crowdGroup, map[string]string{"consumer.session.timeout.ms": "6000", "consumer.heartbeat.interval.ms": "1000"})
	c := newCrowd(t, "topic", func() *kafka.Channel { return kafka.New(f.cfg) })
	c.pace = 400 * time.Millisecond
	ch := f.channel()
	random := rand.New(rand.NewPCG(1, 2))

	start := time.Now()
	members := []*participant{c.join(), c.join()}
	produced := c.load(ch, 100, 200)
	for i := range 16 { // in good order
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond) // virtual
		switch {
		case len(members) < 2 || len(members) < 6 && random.IntN(2) == 0:
			members = append(members, c.join())
		case i%5 == 4: // two at once, while a third comes
			var left sync.WaitGroup
			for _, m := range members[:2] {
				left.Go(func() { c.leave(m) })
			}
			members = append(members[2:], c.join())
			left.Wait()
		default:
			c.leave(members[0])
			members = members[1:]
		}
	}
	produced()
	c.settle(ch, 10*time.Minute)
	doubles := c.doubled()
	assert.Empty(t, doubles, "handled twice on orderly rebalances")
	c.report("in good order", start, len(doubles))

	start = time.Now()
	produced = c.load(ch, 100, 400)
	var dead []*participant
	faults := 0
	for i := range 40 {
		time.Sleep(time.Duration(random.IntN(1500)) * time.Millisecond) // virtual
		faults++
		switch i % 8 {
		case 0:
			f.ShufflePartitionLeaders()
		case 1:
			f.RehashCoordinators()
		case 2, 3:
			f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Group: crowdGroup, Count: 3, Err: commitErrors[random.IntN(len(commitErrors))]})
		case 4:
			c.crash(members[0])
			dead = append(dead, members[0])
			members = append(members[1:], c.join())
		case 5:
			f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Count: 5, Err: produceErrors[random.IntN(len(produceErrors))]})
		case 6:
			f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch, kmsg.Heartbeat, kmsg.ConsumerGroupHeartbeat}, Group: crowdGroup, Count: 2, Err: kerr.NotCoordinator})
		case 7:
			members = append(members, c.join())
			c.leave(members[0])
			members = members[1:]
		}
	}
	produced()
	c.settle(ch, 10*time.Minute)
	c.report("in bad order", start, len(c.doubled()))
	t.Logf("%d faults", faults)
	for _, m := range members {
		c.leave(m)
	}
	for _, m := range dead {
		c.bury(m)
	}
	c.letters(ch)
}

var (
	commitErrors = []*kerr.Error{
		kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.CoordinatorLoadInProgress, kerr.NotCoordinator,
		kerr.UnknownServerError, kerr.RequestTimedOut, kerr.OffsetMetadataTooLarge,
	}
	produceErrors = []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicasAfterAppend, kerr.LeaderNotAvailable}
)
