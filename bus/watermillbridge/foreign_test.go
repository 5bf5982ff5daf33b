package watermillbridge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// plainly hands out a message of a service on plain Watermill as it is, and all else as
// the subscriber does.
type plainly struct {
	*watermillbridge.Subscriber

	plain *message.Message
}

func (p plainly) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := p.Subscriber.Subscribe(ctx, topic)
	if err != nil || topic != "orders" {
		return in, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		select {
		case out <- p.plain:
		case <-ctx.Done():
			return
		}
		for m := range in {
			out <- m
		}
	}()
	return out, nil
}

// A plain message is handled, whatever its metadata is. When it fails it is a dead letter
// with all of that, and the same event when it is redriven.
func TestPlainMessagesAreHandledWhateverTheirMetadata(t *testing.T) {
	for name, value := range map[string]string{"long": strings.Repeat("x", 9<<10), "a control": "no\x7f", "no UTF-8": "caf\xe9"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				plain := message.NewMessage("1", message.Payload("{}"))
				plain.Metadata = message.Metadata{
					"error": value, watermillbridge.MetadataType: "order", watermillbridge.MetadataTime: "2023-11-06T04:28:20Z",
				}
				ch := bridged(t, func(ps *watermillbridge.PubSub) {
					of := ps.Subscriber
					ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
						s, err := of(m)
						return plainly{s.(*watermillbridge.Subscriber), plain}, err
					}
				})
				b := bus.New(bus.Config{App: "shop", Channel: ch})
				var got []event.Event
				bus.SubscribeRaw(b, "g", nil, func(_ context.Context, e event.Event) error {
					if got = append(got, e); len(got) == 1 {
						return event.Permanent(errors.New("no"))
					}
					return nil
				}, bus.Topic("orders"))
				require.NoError(t, b.Start(t.Context()))
				time.Sleep(time.Second) // virtual
				synctest.Wait()
				require.Len(t, got, 1)
				n := 0
				for d, err := range ch.DeadLetters(t.Context(), "orders", "shop.g") {
					require.NoError(t, err)
					require.True(t, got[0].Equal(d.Event), "%v\n%v", got[0], d.Event)
					require.NoError(t, ch.Redrive(t.Context(), d))
					n++
				}
				require.Equal(t, 1, n)
				time.Sleep(time.Second) // virtual
				synctest.Wait()
				require.Len(t, got, 2)
				require.True(t, got[0].Equal(got[1]), "%v\n%v", got[0], got[1])
				require.NoError(t, b.Shutdown(context.Background()))
			})
		})
	}
}
