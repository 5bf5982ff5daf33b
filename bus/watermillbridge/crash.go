package watermillbridge

import (
	"context"

	"github.com/leat-go/leat/event"
)

// Crash lets a consumer of a [Channel] vanish as if its process had died: nothing is
// given back or acknowledged, and the contexts of what runs end with
// [event.ErrLeaseLost]. It is for tests, of a pub/sub by package channeltest above all.
func Crash(victim event.Consumer) {
	c, ok := victim.(*consumer)
	if !ok {
		panic("watermillbridge: Crash of a consumer of another channel")
	}
	c.mu.Lock()
	c.closing = true
	all := make([]*incoming, 0, len(c.hand))
	for _, in := range c.hand {
		all = append(all, in)
	}
	c.mu.Unlock()
	c.end()
	for _, in := range all {
		c.lose(in)
	}
	go func() { _ = c.drop(context.Background()) }()
}
