package bench

import (
	"bytes"
	"context"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
)

func gochannelName(c gochannel.Config) string {
	mode := "free"
	if c.BlockPublishUntilSubscriberAck {
		mode = "block"
	}
	return fmt.Sprintf("watermill-%s-%d", mode, c.OutputChannelBuffer)
}

// openWatermill starts subscribers of Watermill's gochannel, without the router and
// so without its cost. Each group is a subscription; its workers take messages from
// the channel of the subscription and acknowledge them. It has no keys: the configurations
// that block keep all messages in order.
func openWatermill(l Load, c gochannel.Config) (*Stream, error) {
	l = l.withDefaults()
	t := newTally()
	pubsub := gochannel.NewGoChannel(c, nil)
	w := &watermillSide{pubsub: pubsub}
	counts := func(m *message.Message) error { return t.handle(m.Payload) }
	var err error
	if l.Chain {
		err = w.subscribe(placed, l.Workers, func(m *message.Message) error {
			return pubsub.Publish(noted, newMessage(m.Payload))
		})
		if err == nil {
			err = w.subscribe(noted, l.Workers, counts)
		}
	} else {
		for g := 0; g < l.Groups && err == nil; g++ {
			err = w.subscribe(placed, l.Workers, counts)
		}
	}
	return &Stream{
		Run: func(n int) error {
			t.expect(n*l.Groups, l.Retry)
			err := l.produce(n, func(m *maker, from, to int) error {
				if l.Batch == 1 {
					return pubsub.Publish(placed, newMessage(m.next(from)))
				}
				batch := make([]*message.Message, 0, l.Batch)
				for i := from; i < to; i++ {
					batch = append(batch, newMessage(m.next(i)))
				}
				return pubsub.Publish(placed, batch...)
			})
			if err != nil {
				return err
			}
			return t.wait()
		},
		Close: w.close,
	}, err
}

func newMessage(data []byte) *message.Message {
	return message.NewMessage(watermill.NewUUID(), bytes.Clone(data))
}

// watermillSide is a gochannel and its subscribers.
type watermillSide struct {
	pubsub *gochannel.GoChannel
	wg     sync.WaitGroup
}

func (w *watermillSide) subscribe(topic string, workers int, h func(*message.Message) error) error {
	messages, err := w.pubsub.Subscribe(context.Background(), topic)
	if err != nil {
		return err
	}
	for range workers {
		w.wg.Go(func() {
			for m := range messages {
				if h(m) != nil {
					m.Nack()
				} else {
					m.Ack()
				}
			}
		})
	}
	return nil
}

func (w *watermillSide) close() error {
	err := w.pubsub.Close()
	w.wg.Wait()
	return err
}
