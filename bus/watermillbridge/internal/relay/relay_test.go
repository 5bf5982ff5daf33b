package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"
)

// relayed runs a relay.
func relayed(t *testing.T) (r *Relay, in, out chan *message.Message, end context.CancelFunc) {
	t.Helper()
	r, in, out = new(Relay), make(chan *message.Message), make(chan *message.Message)
	ctx, end := context.WithCancel(t.Context())
	go r.Run(ctx, in, out)
	return r, in, out, end
}

func TestFates(t *testing.T) {
	for _, c := range []struct {
		name  string
		treat func(m *message.Message)
		want  Fate
	}{
		{"acknowledged", func(m *message.Message) { m.Ack() }, Acked},
		{"nacked", func(m *message.Message) { m.Nack() }, Nacked},
		{"in hand", func(*message.Message) {}, Taken},
		{"acknowledged a little late", func(m *message.Message) { time.AfterFunc(grace/2, func() { m.Ack() }) }, Acked},
		{"acknowledged too late", func(m *message.Message) { time.AfterFunc(2*grace, func() { m.Ack() }) }, Taken},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, in, out, end := relayed(t)
				require.Equal(t, Unseen, r.Fate())
				in <- message.NewMessage("1", nil)
				synctest.Wait()
				require.Equal(t, Unseen, r.Fate(), "nobody took it")
				c.treat(<-out)
				synctest.Wait()
				require.Equal(t, c.want, r.Fate())
				r.Forget()
				require.Equal(t, Unseen, r.Fate())
				end()
				close(in)
				_, open := <-out
				require.False(t, open)
				time.Sleep(time.Second) // virtual: timers of the case
			})
		})
	}
}

// From the end of its context on it reads on, so that the library can end, and hands
// nothing on.
func TestDropsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, in, out, end := relayed(t)
		in <- message.NewMessage("1", nil)
		synctest.Wait()
		end()
		synctest.Wait()
		in <- message.NewMessage("2", nil)
		synctest.Wait()
		select {
		case m := <-out:
			require.Fail(t, "handed on", m.UUID)
		default:
		}
		close(in)
		synctest.Wait()
		require.Equal(t, Unseen, r.Fate())
	})
}

// Whoever waits for a message to arrive is told before it is handed on.
func TestReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		r := &Relay{Received: func() { n++ }}
		in, out := make(chan *message.Message), make(chan *message.Message)
		go r.Run(t.Context(), in, out)
		in <- message.NewMessage("1", nil)
		synctest.Wait()
		require.Equal(t, 1, n)
		<-out
		close(in)
		synctest.Wait()
	})
}
