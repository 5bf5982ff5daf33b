package main

import (
	"fmt"

	"github.com/leat-go/leat/event"
)

// order checks that a group sees the deliveries of a repository in the order of
// their ids, retries included.
type order struct {
	last   map[string]string // id, by repository
	broken error             // the first case
}

func (o *order) see(info event.Info) {
	e := info.Event
	if e.Key() == "" || info.Redriven { // no key, no order; a redriven event has lost its place
		return
	}
	if o.last == nil {
		o.last = make(map[string]string)
	}
	if last := o.last[e.Key()]; e.ID() < last && o.broken == nil {
		o.broken = fmt.Errorf("order of %s: %s came after %s", e.Key(), e.ID(), last)
	}
	o.last[e.Key()] = e.ID()
}
