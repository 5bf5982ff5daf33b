package bridgeaws_test

import (
	"context"
	"sync"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// mortal is a channel whose consumers can vanish as if their process had died: a consumer
// lives as long as its context.
type mortal struct {
	*watermillbridge.Channel

	lives *sync.Map // event.Consumer -> context.CancelFunc
}

// Consumer implements [event.Channel].
func (ch mortal) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	ctx, cancel := context.WithCancel(ctx)
	c, err := ch.Channel.Consumer(ctx, s)
	if err != nil {
		cancel()
		return nil, err
	}
	ch.lives.Store(c, cancel)
	return c, nil
}

// crash ends the life of a consumer of any channel that shares the lives.
func crash(lives *sync.Map) func(event.Consumer) {
	return func(c event.Consumer) {
		if cancel, ok := lives.Load(c); ok {
			cancel.(context.CancelFunc)()
		}
	}
}
