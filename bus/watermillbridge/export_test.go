package watermillbridge

import (
	"context"

	"github.com/leat-go/leat/event"
)

// Crash lets a consumer vanish as if its process had died.
func Crash(e event.Consumer) {
	c := e.(*consumer) //nolint:forcetypeassert // it is of this package
	c.mu.Lock()
	c.closing = true
	var all []*incoming
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
