// Package relay stands between a subscription of a Watermill library and who reads it.
// It knows what became of the last message: libraries forget an Ack or a Nack that comes
// when their subscription is about to end, and never tell whether anybody took a message.
package relay

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// Fate is what became of a message.
type Fate int8

// The fates of a message.
const (
	Unseen Fate = iota // nobody took it
	Taken              // somebody did, and may be at work on it
	Acked
	Nacked
)

// Relay hands on the messages of one subscription, of which the next comes when the last
// is settled. Its methods may be called concurrently.
type Relay struct {
	Received func() // is called for each message, before it is handed on; may be nil

	mu    sync.Mutex
	last  *message.Message
	taken bool
}

// Run hands messages on until there are no more, and closes out. From the end of ctx on
// it drops them.
func (r *Relay) Run(ctx context.Context, in <-chan *message.Message, out chan<- *message.Message) {
	defer close(out)
	for m := range in {
		r.set(m)
		if r.Received != nil {
			r.Received()
		}
		if ctx.Err() != nil {
			continue
		}
		select {
		case out <- m:
			r.took(m)
		case <-ctx.Done():
		}
	}
}

func (r *Relay) set(m *message.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.taken = m, false
}

// took notes that somebody has a message, unless it is settled by now.
func (r *Relay) took(m *message.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.taken = r.last == m
}

// Forget says that the last message is settled.
func (r *Relay) Forget() { r.set(nil) }

// grace is how long who has just got a message may need to settle it: a consumer that
// closes does at once.
const grace = 100 * time.Millisecond

// Fate returns what became of the last message; Unseen after [Relay.Forget] too. It is
// certain once Run has returned, and takes 100 ms when somebody is at work on it.
func (r *Relay) Fate() Fate {
	r.mu.Lock()
	m, taken := r.last, r.taken
	r.mu.Unlock()
	if m == nil {
		return Unseen
	}
	select {
	case <-m.Acked():
		return Acked
	case <-m.Nacked():
		return Nacked
	default:
	}
	if !taken {
		return Unseen
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-m.Acked():
		return Acked
	case <-m.Nacked():
		return Nacked
	case <-timer.C:
		return Taken
	}
}
