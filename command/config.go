package command

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/payload"
)

// Config says what is kept of the commands of a Bus beside the channel. Those who send and
// those who handle have the same. The zero value keeps nothing.
type Config struct {
	Operations Operations          // what became of each command; nil: nobody can look
	Payloads   payload.Store       // for payloads that are large; nil: all ride in the channel
	Payload    payload.Config      // from what size on, and how long at least
	Notify     map[string]Notifier // by name, each with a group "notify-<name>" of its own; needs a subscription before Start
}

// Use sets what is kept of the commands of a Bus. It is called once, before Start and before
// [Gateway]: a second call is a mistake that Start reports, and one after Start panics.
func Use(b *bus.Bus, cfg Config) {
	b.Style().MustBeNew("command.Use")
	c := of(b)
	if !c.set(cfg) {
		b.Style().Mistake(errors.New("command: Use was called already"))
		return
	}
	for name, n := range cfg.Notify {
		if n == nil {
			b.Style().Mistake(fmt.Errorf("command: notifier %q is nil", name))
			continue
		}
		c.notify(name, n)
	}
}

// commands are those of a Bus.
type commands struct {
	b        *bus.Bus
	style    bus.Style
	requests *request.Requests

	used atomic.Pointer[used] // nil: nothing is kept

	mu     sync.Mutex
	topics map[string]string // of those handled here: their types
}

// used is what a Use said.
type used struct {
	Config

	check *payload.Check // nil: payloads ride in the channel
}

type commandsKey struct{}

func of(b *bus.Bus) *commands {
	s := b.Style()
	if c, ok := s.Kept(commandsKey{}).(*commands); ok {
		return c
	}
	c := &commands{b: b, style: s, requests: request.Of(b), topics: make(map[string]string)}
	return s.Keep(commandsKey{}, c).(*commands) //nolint:forcetypeassert // the key is ours
}

func (c *commands) set(cfg Config) bool {
	u := &used{Config: cfg}
	if cfg.Payloads != nil {
		u.check = payload.New(cfg.Payloads, cfg.Payload)
	}
	return c.used.CompareAndSwap(nil, u)
}

// operations returns the store of operations, or nil.
func (c *commands) operations() Operations {
	if u := c.used.Load(); u != nil {
		return u.Operations
	}
	return nil
}

// check returns what large payloads are taken out by, or nil.
func (c *commands) check() *payload.Check {
	if u := c.used.Load(); u != nil {
		return u.check
	}
	return nil
}

// announces reports whether somebody is told of what ended.
func (c *commands) announces() bool {
	u := c.used.Load()
	return u != nil && len(u.Notify) > 0
}

// own takes a type and its topic for a handler, once.
func (c *commands) own(typ, topic string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for of, t := range c.topics {
		switch {
		case of == typ:
			return fmt.Errorf("command: two handlers for %q: a command has exactly one", typ)
		case t == topic:
			return fmt.Errorf("command: %q and %q have the same topic %q: each needs one of its own", of, typ, topic)
		}
	}
	c.topics[typ] = topic
	return nil
}
