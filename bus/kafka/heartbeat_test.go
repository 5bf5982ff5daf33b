package kafka

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/event"
)

// While the coordinator waits for others, for as long as a grace takes, a member that
// has joined is one.
func TestAMemberThatJoinsHasAsLongAsOthersMayTake(t *testing.T) {
	c := &consumer{sub: event.Subscription{Grace: 10 * time.Minute}}
	h := heartbeat{limit: 10 * time.Second, patient: c.rebalanceTimeout()}
	now := time.Now()
	h.good.Store(now.UnixNano())
	assert.Less(t, h.left(now), 10*time.Second)
	h.OnBrokerWrite(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), 0, 0, 0, nil)
	assert.Greater(t, h.left(now), 10*time.Minute)
	h.OnBrokerE2E(kgo.BrokerMetadata{}, int16(kmsg.JoinGroup), kgo.BrokerE2E{})
	assert.Less(t, h.left(time.Now()), 10*time.Second)
}
