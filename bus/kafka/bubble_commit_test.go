//go:build synctests

package kafka_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/leat-go/leat/event"
)

// A member that closes while a commit is on its way that will fail commits again.
func TestBubbleCommitFailsWhileClosing(t *testing.T) {
	for name, code := range map[string]*kerr.Error{
		"unknown": kerr.UnknownServerError, "rebalance": kerr.RebalanceInProgress, "too large": kerr.OffsetMetadataTooLarge,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFake(t, 1, 1)
				ch := f.channel()
				m := join(t, ch, "g", "topic", nil)
				put(t, ch, "topic", numbers(0, 10)...)
				eventually(t, "all are committed", func() bool { return f.committed("g", "topic", 0) == 10 })

				slow := make(chan struct{})
				f.ControlKey(int16(kmsg.OffsetCommit), func(kmsg.Request) (kmsg.Response, error, bool) {
					f.DropControl()
					close(slow)
					f.SleepControl(func() { time.Sleep(300 * time.Millisecond) }) // virtual
					return nil, nil, false
				})
				f.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Topic: "topic", Err: code})
				put(t, ch, "topic", numbers(10, 10)...)
				<-slow
				require.NoError(t, m.Close(context.Background()))
				<-m.done
				assert.Equal(t, int64(20), f.committed("g", "topic", 0))
			})
		})
	}
}

// A member commits nothing for a tenure that ended.
func TestBubbleCommitOfAnEndedTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 2)
		one, other := f.channel(), f.channel()
		a := join(t, one, "g", "topic", nil)
		put(t, one, "topic", numbers(0, 100)...)
		eventually(t, "all are handled", func() bool { return len(a.got()) == 100 })
		b := join(t, other, "g", "topic", nil)
		n := 100
		for ; len(b.got()) == 0; n += 100 {
			put(t, one, "topic", numbers(n, 100)...)
			time.Sleep(30 * time.Millisecond) // virtual
		}
		eventually(t, "all are handled", func() bool { return len(a.got())+len(b.got()) == n })
		a.leave(t)
		b.leave(t)
		last := join(t, f.channel(), "g", "topic", nil)
		time.Sleep(time.Minute) // virtual
		assert.Empty(t, last.got())
		last.leave(t)
	})
}

// What one member has settled the one after the next doesn't repeat either, while an
// older event is still open.
func TestBubbleProgressPassesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake(t, 1, 1)
		ch := f.channel()
		put(t, ch, "topic", numbers(0, 10)...)
		first := func(d event.Delivery) bool { return d.Position.Offset == 1 }
		for owner := range 4 {
			m := join(t, ch, "g", "topic", first)
			put(t, ch, "topic", numbers(10+owner, 1)...)
			eventually(t, "the new one is handled", func() bool { return len(m.got()) > 0 })
			time.Sleep(time.Second) // virtual
			m.leave(t)
			if owner > 0 {
				assert.Len(t, m.got(), 1, "owner %d", owner)
			}
		}
	})
}
