package bridgenats

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// fakeMsg notes how it was settled.
type fakeMsg struct {
	jetstream.Msg

	acks, naks int
}

func (m *fakeMsg) DoubleAck(context.Context) error { m.acks++; return nil }
func (m *fakeMsg) Nak() error                      { m.naks++; return nil }

// What the library has forgotten when it is done with a message is made up for.
func TestForgotten(t *testing.T) {
	for _, c := range []struct {
		name       string
		treat      func(h *hand, out <-chan *message.Message)
		library    func(m jetstream.Msg)
		acks, naks int
	}{
		{"acknowledged", func(_ *hand, out <-chan *message.Message) { (<-out).Ack() }, nil, 1, 0},
		{"nacked", func(_ *hand, out <-chan *message.Message) { (<-out).Nack() }, nil, 0, 1},
		{"nobody took it", func(h *hand, _ <-chan *message.Message) { h.end() }, nil, 0, 1},
		{"somebody is at work", func(h *hand, out <-chan *message.Message) { <-out; h.end() }, nil, 0, 0},
		{"not forgotten: acknowledged", func(_ *hand, out <-chan *message.Message) { (<-out).Ack() }, func(m jetstream.Msg) { _ = m.DoubleAck(context.Background()) }, 1, 0},
		{"not forgotten: nacked", func(_ *hand, out <-chan *message.Message) { (<-out).Nack() }, func(m jetstream.Msg) { _ = m.Nak() }, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHand(t.Context(), "orders", watermill.NopLogger{})
				in, out := make(chan *message.Message), make(chan *message.Message)
				go func() {
					h.relay.Run(h.ctx, in, out)
					close(h.relayed)
				}()
				go func() { // as the library does
					<-h.libCtx.Done()
					close(in)
				}()
				m := new(fakeMsg)
				require.True(t, h.enter())
				h.handle(m, func(m jetstream.Msg) {
					in <- message.NewMessage("1", nil)
					c.treat(h, out)
					synctest.Wait()
					if c.library != nil {
						c.library(m)
					}
				})
				require.Equal(t, []int{c.acks, c.naks}, []int{m.acks, m.naks})
				h.end()
			})
		})
	}
}

// The library's context doesn't end while it has a message that it hasn't sent: it would
// send it on a closed channel.
func TestEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHand(t.Context(), "orders", watermill.NopLogger{})
		require.True(t, h.enter())
		h.end()
		synctest.Wait()
		require.NoError(t, h.libCtx.Err())
		h.sent()
		require.Error(t, h.libCtx.Err())
		require.False(t, h.enter(), "none after the end")

		h = newHand(t.Context(), "orders", watermill.NopLogger{})
		require.True(t, h.enter())
		h.sent()
		require.NoError(t, h.libCtx.Err())
		h.end()
		synctest.Wait()
		require.Error(t, h.libCtx.Err())
	})
}
