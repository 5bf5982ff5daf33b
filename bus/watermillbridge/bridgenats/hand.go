package bridgenats

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/leat-go/leat/bus/watermillbridge/internal/relay"
)

// pullTime is after which time a request for the next message is repeated, and how long
// Close may wait for the last. The client has another way of asking again and again; that
// one hangs now and then when connections break.
const pullTime = 500 * time.Millisecond

// hand is the consumer as one subscription of the library has it: with one message in
// hand at a time, asked for when the last is settled.
//
// The library closes its channel when its context ends, and sends what comes at that
// moment on the closed channel. So its context ends a little later than that of the
// subscription: not between the call of its handler and the arrival of the message.
type hand struct {
	jetstream.Consumer

	ctx     context.Context // of the subscription
	end     context.CancelFunc
	libCtx  context.Context // of the library's
	endLib  context.CancelFunc
	relay   *relay.Relay
	relayed chan struct{} // closed when the relay knows the fate of the last message
	over    chan struct{} // closed when nothing more is asked for
	log     watermill.LoggerAdapter
	topic   string

	mu      sync.Mutex
	handing bool // the library has a message that it hasn't sent
	stopped bool
}

func newHand(ctx context.Context, topic string, log watermill.LoggerAdapter) *hand {
	h := &hand{relayed: make(chan struct{}), over: make(chan struct{}), log: log, topic: topic}
	h.relay = &relay.Relay{Received: h.sent}
	h.libCtx, h.endLib = context.WithCancel(context.WithoutCancel(ctx))
	h.ctx, h.end = context.WithCancel(ctx)
	context.AfterFunc(h.ctx, h.stop) //nolint:contextcheck // it ends what has no end otherwise
	return h
}

// enter lets the library have a message, unless the subscription has ended.
func (h *hand) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handing = !h.stopped
	return h.handing
}

// sent notes that the library has sent its message, or won't.
func (h *hand) sent() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handing = false
	if h.stopped {
		h.endLib()
	}
}

// stop ends the library's context as soon as that can be.
func (h *hand) stop() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stopped = true
	if !h.handing {
		h.endLib()
	}
}

// Consume lets the library handle messages until the subscription ends.
func (h *hand) Consume(handle jetstream.MessageHandler, _ ...jetstream.PullConsumeOpt) (jetstream.ConsumeContext, error) {
	go h.run(handle)
	return consumption{h.over}, nil
}

// consumption ends with its subscription.
type consumption struct{ over <-chan struct{} }

// Stop does nothing.
func (consumption) Stop() {}

// Drain does nothing.
func (consumption) Drain() {}

// Closed returns a channel that is closed at the end.
func (c consumption) Closed() <-chan struct{} { return c.over }

// run handles messages until the subscription ends. It is begun anew when something is
// wrong.
func (h *hand) run(handle jetstream.MessageHandler) {
	defer close(h.over)
	defer h.end()
	for h.ctx.Err() == nil {
		m, err := h.Next(jetstream.FetchMaxWait(pullTime))
		switch {
		case errors.Is(err, nats.ErrTimeout):
		case err != nil:
			h.tell("no more messages come", err)
			return
		case h.enter():
			h.handle(m, handle)
		default:
			h.giveBack(m)
		}
	}
}

// handle lets the library handle a message, and does then what it has forgotten.
func (h *hand) handle(m jetstream.Msg, handle jetstream.MessageHandler) {
	h.relay.Forget()
	noted := &noted{Msg: m}
	handle(noted)
	h.sent()
	if noted.isSettled() {
		return
	}
	if h.ctx.Err() != nil {
		<-h.relayed
	}
	switch h.relay.Fate() {
	case relay.Acked:
		ctx, cancel := context.WithTimeout(context.Background(), endTime)
		defer cancel()
		if err := m.DoubleAck(ctx); err != nil {
			h.tell("acknowledge a message", err)
		}
	case relay.Nacked, relay.Unseen:
		h.giveBack(m)
	case relay.Taken: // somebody may be at work on it: it comes again in time
	}
}

func (h *hand) tell(what string, err error) {
	h.log.Error(what, err, watermill.LogFields{"topic": h.topic})
}

// giveBack lets others have a message at once.
func (h *hand) giveBack(m jetstream.Msg) {
	if err := m.Nak(); err != nil {
		h.tell("give a message back", err)
	}
}

// noted is a message of which is noted that the library has settled it.
type noted struct {
	jetstream.Msg

	mu      sync.Mutex
	settled bool
}

func (n *noted) note(err error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled = n.settled || err == nil
	return err
}

func (n *noted) isSettled() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.settled
}

// DoubleAck acknowledges the message and waits for the server.
func (n *noted) DoubleAck(ctx context.Context) error { return n.note(n.Msg.DoubleAck(ctx)) }

// Nak gives the message back.
func (n *noted) Nak() error { return n.note(n.Msg.Nak()) }
