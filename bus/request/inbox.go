package request

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Requests are those of a Bus. Its methods may be called concurrently.
type Requests struct {
	b     *bus.Bus
	style bus.Style
	app   string // the source of answers

	dropped atomic.Int64

	lastDefault, lastBy atomic.Pointer[moment] // written, and read
	lastTo              atomic.Pointer[Address]

	mu      sync.Mutex // never held across a call
	inbox   *inbox     // nil: none is open, or being opened
	waiting map[string]*waiter
	seen    map[Repliers]time.Time // when they were
	guards  bool                   // somebody looks after those who wait
	lately  bool                   // somebody has waited at the last tick
	ticks   int64                  // of the guard
	free    []*waiter              // to be used again
}

type requestsKey struct{}

// Of returns the requests of a Bus.
func Of(b *bus.Bus) *Requests {
	s := b.Style()
	if r, ok := s.Kept(requestsKey{}).(*Requests); ok {
		return r
	}
	r := &Requests{b: b, style: s, app: "/" + s.App(), waiting: make(map[string]*waiter), seen: make(map[Repliers]time.Time)}
	return s.Keep(requestsKey{}, r).(*Requests) //nolint:forcetypeassert // the key is ours
}

// inbox is a subscription that answers come to.
type inbox struct {
	opened   chan struct{} // closed when it is open, or couldn't be
	err      error
	address  Address
	to       string // the address as it is written
	consumer event.Consumer
	life     context.Context //nolint:containedctx // of the inbox
	end      context.CancelFunc
	done     chan struct{} // nobody receives any more
	lost     bool          // the same, under the lock of the Requests
}

// inHand is how many answers an inbox has in hand; they are passed on at once.
const inHand = 256

// Address opens the inbox, unless it is open, and returns where answers can be sent.
func (r *Requests) Address(ctx context.Context) (Address, error) {
	in, err := r.ready(ctx)
	if err != nil {
		return Address{}, err
	}
	return in.address, nil
}

// ready returns the inbox, open.
func (r *Requests) ready(ctx context.Context) (*inbox, error) {
	if err := r.style.Accepts(ctx); err != nil {
		return nil, err
	}
	for {
		in, first := r.current()
		if first {
			in.err = r.open(ctx, in)
			if in.err != nil {
				r.forget(in)
			}
			close(in.opened)
		}
		if !in.isOpened() {
			select {
			case <-in.opened:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
		}
		if in.err == nil {
			return in, nil
		}
		if first || ctx.Err() != nil {
			return nil, in.err
		}
	}
}

// isOpened reports whether the opening is over. To ask for the end of a context costs more.
func (in *inbox) isOpened() bool {
	select {
	case <-in.opened:
		return true
	default:
		return false
	}
}

// current returns the inbox, and whether the caller has to open it.
func (r *Requests) current() (*inbox, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inbox != nil {
		return r.inbox, false
	}
	r.inbox = &inbox{opened: make(chan struct{}), done: make(chan struct{})}
	return r.inbox, true
}

func (r *Requests) forget(in *inbox) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.inbox == in {
		r.inbox = nil
	}
}

func (r *Requests) open(ctx context.Context, in *inbox) error {
	in.address = Address{Topic: topicOf(r.style.App()), Instance: event.NewID()}
	in.to = in.address.String()
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, end) // ctx bounds the opening
	c, err := r.style.Channel().Consumer(life, event.Subscription{
		Group:     in.address.Topic + "-" + strings.ToLower(in.address.Instance),
		Topics:    []string{in.address.Topic},
		InFlight:  inHand,
		Ephemeral: true,
		OnEvent:   func(e event.Event) { r.take(in, e) },
	})
	if err != nil {
		end()
		return err
	}
	in.consumer, in.life, in.end = c, life, end
	if !stop() {
		err = context.Cause(ctx)
	} else if !r.style.OnClose(func(ctx context.Context) error { return r.close(ctx, in) }) {
		err = event.ErrClosed
	}
	if err != nil {
		_ = c.Close(life) // nothing is in hand
		end()
		return err
	}
	go r.receive(life, in)
	return nil
}

// receive passes on what comes, until the inbox is closed.
func (r *Requests) receive(ctx context.Context, in *inbox) {
	defer close(in.done)
	defer r.lose(in)
	buf := make([]event.Delivery, inHand)
	acks := make([]event.Settlement, 0, inHand)
	for {
		n, err := in.consumer.Receive(ctx, buf)
		if err != nil {
			return
		}
		acks = acks[:0]
		for i := range buf[:n] {
			d := &buf[i]
			if _, ours := in.consumer.Begin(d.Token); !ours {
				continue
			}
			if d.Err == nil {
				r.take(in, d.Event)
			}
			acks = append(acks, event.Ack(d.Token))
		}
		clear(buf[:n])
		_ = in.consumer.Settle(ctx, acks) // nobody wants it again, and it is kept for nobody
	}
}

// take passes on an event that is an answer for this process.
func (r *Requests) take(in *inbox, e event.Event) {
	if e.Subject() == in.address.Instance {
		r.pass(e)
	}
}

// close ends an inbox, and the waiting of those who still wait.
func (r *Requests) close(ctx context.Context, in *inbox) error {
	r.endAll(event.ErrClosed)
	err := in.consumer.Close(ctx)
	select {
	case <-in.done:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
	}
	in.end()
	return err
}
