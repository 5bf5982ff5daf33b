package bustest

import (
	"errors"
	"fmt"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// World is what an exploration runs, again and again: an application, what is
// published to it, and what must be true at the end. The function that is given to
// [Explore] makes it anew for every run, with all the state that the application has.
// It must make the same World each time: nothing in it may depend on the iteration
// order of a map, on random numbers, on the time of day or on other goroutines. Of times
// only their differences are the same in each run.
type World struct {
	handlers   func(*bus.Bus)
	config     func(*bus.Config)
	publishes  []rootMessage
	state      func() any
	invariants []func() error
	skip       []bool // publishes that are left out
}

type rootMessage struct {
	v    any
	opts []bus.PublishOption
}

// Handlers says how a process registers its handlers. It is called for each process:
// those that start after a crash share the state that the handlers were given, as
// they would share a database. What register makes itself is the process's own memory,
// which a crash loses.
func (w *World) Handlers(register func(b *bus.Bus)) { w.handlers = register }

// Config changes the configuration of each process's Bus; the channel is Explore's. It
// calls itself durable when the configuration names an App.
func (w *World) Config(change func(c *bus.Config)) { w.config = change }

// Publish adds a message that is published from outside of any handler. Its id is
// message-1 for the first, and so on, unless [bus.ID] says another.
//
// In the undisturbed run the messages are published in this order, each when all that
// the one before it caused has settled.
func (w *World) Publish(v any, opts ...bus.PublishOption) {
	id := bus.ID(fmt.Sprint("message-", len(w.publishes)+1)) // the same in each run
	if e, ready := v.(event.Event); !ready || len(e.ID()) == randomID {
		opts = append([]bus.PublishOption{id}, opts...)
	}
	w.publishes = append(w.publishes, rootMessage{v, opts})
}

// State says what the application's state is. When everything has settled it must be
// deeply equal to that of the undisturbed run. That f panics is a failure, as in
// Invariant.
func (w *World) State(f func() any) { w.state = f }

// Invariant adds something that must hold when everything has settled. That holds panics
// is a failure as well, with its story.
func (w *World) Invariant(holds func() error) { w.invariants = append(w.invariants, holds) }

// skips reports whether the i-th publish is left out.
func (w *World) skips(i int) bool { return i < len(w.skip) && w.skip[i] }

func (w *World) check() error {
	if w.handlers == nil {
		return errors.New("the World has no Handlers")
	}
	if w.state == nil && len(w.invariants) == 0 {
		return errors.New("the World has neither a State nor an Invariant: no failure could be seen")
	}
	if len(w.publishes) == 0 {
		return errors.New("the World publishes nothing: nothing would be handled")
	}
	return nil
}
