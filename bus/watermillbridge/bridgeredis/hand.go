package bridgeredis

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/bus/watermillbridge/internal/relay"
)

// hand is the client as one subscription of the library has it: with one message in hand
// at a time. The library reads ahead by up to three, which would wait behind the one that
// is handled while others are idle, and whose time would run.
type hand struct {
	kept

	topic, group, consumer string
	isOwn                  bool // what is acknowledged is removed
	idle                   time.Duration
	relay                  *relay.Relay
	slot                   chan struct{} // full while a message is in hand, or asked for

	mu    sync.Mutex
	id    string         // of the entry in hand; "": none
	ended bool           // nothing is to be asked for any more
	calls sync.WaitGroup // that ask for something
}

// ask waits until the hand is empty. It returns false when there is nothing to be asked
// for any more.
func (h *hand) ask(ctx context.Context) bool {
	select {
	case h.slot <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended || ctx.Err() != nil {
		<-h.slot
		return false
	}
	h.calls.Add(1)
	return true
}

// got notes what was asked for; "" is nothing. It returns false when nobody wants it any
// more: then it is given back.
func (h *hand) got(ctx context.Context, id string) bool {
	defer h.calls.Done()
	switch {
	case id == "":
		<-h.slot
		return false
	case ctx.Err() != nil:
		h.giveBack(id) //nolint:contextcheck // it goes back because ctx has ended
		<-h.slot
		return false
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.id = id
	return true
}

// XReadGroup reads the next message.
func (h *hand) XReadGroup(ctx context.Context, a *redis.XReadGroupArgs) *redis.XStreamSliceCmd {
	if !h.ask(ctx) {
		return nothing(ctx)
	}
	cmd := h.UniversalClient.XReadGroup(ctx, a)
	id := ""
	if xs := cmd.Val(); cmd.Err() == nil && len(xs) > 0 && len(xs[0].Messages) > 0 {
		id = xs[0].Messages[0].ID
	}
	if h.got(ctx, id) || cmd.Err() != nil && ctx.Err() == nil {
		return cmd
	}
	return nothing(ctx)
}

// XClaim takes over a message of a vanished member.
func (h *hand) XClaim(ctx context.Context, a *redis.XClaimArgs) *redis.XMessageSliceCmd {
	none := redis.NewXMessageSliceCmd(ctx)
	if !h.ask(ctx) {
		return none
	}
	cmd := h.UniversalClient.XClaim(ctx, a)
	id := ""
	if ms := cmd.Val(); cmd.Err() == nil && len(ms) > 0 {
		id = ms[0].ID
	}
	if h.got(ctx, id) || cmd.Err() != nil && ctx.Err() == nil {
		return cmd
	}
	return none
}

// XAck records that a message is settled.
func (h *hand) XAck(ctx context.Context, stream, group string, ids ...string) *redis.IntCmd {
	cmd := h.UniversalClient.XAck(ctx, stream, group, ids...)
	if cmd.Err() != nil {
		return cmd
	}
	if h.isOwn {
		_ = h.XDel(ctx, stream, ids...) // at worst it stays, settled
	}
	h.settled(ids)
	return cmd
}

// settled empties the hand, if the entry in it is among ids.
func (h *hand) settled(ids []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if slices.Contains(ids, h.id) {
		h.id = ""
		h.relay.Forget()
		<-h.slot
	}
}

// XGroupDelConsumer removes a consumer that has nothing. The library looks whether it has
// and removes it then, and it may have got something in between.
func (h *hand) XGroupDelConsumer(ctx context.Context, stream, group, consumer string) *redis.IntCmd {
	cmd := redis.NewIntCmd(ctx)
	n, err := leave.Run(ctx, h.UniversalClient, []string{stream}, group, consumer).Int64()
	if err != nil {
		cmd.SetErr(err)
	}
	cmd.SetVal(n)
	return cmd
}

// endTime is how long the last calls for a subscription may take.
const endTime = 5 * time.Second

// end settles what is in hand as it is to be, when the library has forgotten it, and
// leaves the group.
func (h *hand) end() {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	h.calls.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	if id := h.id; id != "" {
		switch h.relay.Fate() {
		case relay.Acked:
			_ = h.XAck(ctx, h.topic, h.group, id)
		case relay.Nacked, relay.Unseen:
			h.giveBack(id)
		case relay.Taken: // somebody may be at work on it: it comes again in time
		}
	}
	_ = h.XGroupDelConsumer(ctx, h.topic, h.group, h.consumer)
}

// giveBack lets others have a message at once. Without it they have it in time.
func (h *hand) giveBack(id string) {
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	_ = giveBack.Run(ctx, h.UniversalClient, []string{h.topic}, h.group, h.consumer, id, h.idle.Milliseconds()).Err()
}
