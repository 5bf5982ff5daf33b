package watermill

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
)

// Watermill's poison queue takes a message whatever the text of its error is: else it
// would be handled again without end.
func TestPoisonQueue(t *testing.T) {
	for name, text := range map[string]string{
		"short": "no", "9 KiB": strings.Repeat("x", 9<<10), "a control": "no\x7f", "no UTF-8": "caf\xe9",
	} {
		t.Run(name, func(t *testing.T) {
			ch := memory.New()
			pub := watermillbridge.NewPublisher(ch, watermillbridge.PublisherConfig{})
			sub := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "shop.mailer"})
			poison, err := middleware.PoisonQueue(pub, "poison")
			require.NoError(t, err)
			router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
			require.NoError(t, err)
			router.AddMiddleware(poison, middleware.Retry{MaxRetries: 2, InitialInterval: time.Millisecond}.Middleware)
			var runs atomic.Int64
			router.AddConsumerHandler("mailer", "order-placed", sub, func(*message.Message) error {
				runs.Add(1)
				return errors.New(text)
			})
			ran := make(chan error, 1)
			go func() { ran <- router.Run(t.Context()) }()
			<-router.Running()
			poisoned := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "shop.poisoned"})
			ms, err := poisoned.Subscribe(t.Context(), "poison")
			require.NoError(t, err)
			require.NoError(t, pub.Publish("order-placed", message.NewMessage("1", []byte("{}"))))
			select {
			case m := <-ms:
				assert.Equal(t, text, m.Metadata.Get(middleware.ReasonForPoisonedKey))
				assert.Equal(t, "order-placed", m.Metadata.Get(middleware.PoisonedTopicKey))
				m.Ack()
			case <-time.After(5 * time.Second):
				t.Error("it is not poisoned")
			}
			require.NoError(t, router.Close())
			require.NoError(t, <-ran)
			assert.EqualValues(t, 3, runs.Load())
			require.NoError(t, poisoned.Close())
			require.NoError(t, ch.Close(t.Context()))
		})
	}
}
