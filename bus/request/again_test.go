package request_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

// An answer that comes when the asker's context ends is never taken for that to a later request.
func TestAnswerAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := asking(t, func(r *request.Requests, ctx context.Context, e event.Event) error {
			return r.Answer(ctx, e, request.Answer{Result: event.Result{ContentType: "application/json", Data: e.Data()}})
		})
		ended := 0
		for n := range 40 {
			ctx, cancel := context.WithCancel(t.Context())
			call, err := request.Of(b).Open(ctx)
			require.NoError(t, err)
			topic, e, err := b.Style().Prepare(ctx, ping{-1}, nil, call.Attributes())
			require.NoError(t, err)
			_, err = call.Ask(e, request.Repliers{}, func(ctx context.Context) error {
				err := b.Style().Send(ctx, topic, e, true)
				synctest.Wait() // it has been answered
				cancel()
				return err
			})
			if err != nil {
				require.ErrorIs(t, err, request.ErrNoAnswer)
				ended++
			}
			call.End()
			got, err := ask(t.Context(), b, n)
			require.NoError(t, err)
			require.Equal(t, n, got.N)
		}
		require.NotZero(t, ended)
	})
}

// blinking is a channel whose census says now and then that nobody is there.
type blinking struct {
	*memory.Channel
	looks func() (n int)
}

func (c blinking) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	groups, err := c.Channel.Groups(ctx, topic)
	if c.looks()%2 == 1 {
		for i := range groups {
			groups[i].Members = 0
		}
	}
	return groups, err
}

// Repliers are gone when two looks in a row don't see them: one may be while they come and go.
func TestGoneAtTwoLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch, looks := memory.New(), new(atomic.Int64)
		b := bus.New(bus.Config{App: "client", Channel: blinking{ch, func() int { return int(looks.Add(1)) }}})
		require.NoError(t, b.Start(t.Context()))
		members, err := ch.Consumer(t.Context(), event.Subscription{Group: "server.ping", Topics: []string{"ping"}})
		require.NoError(t, err)
		call, err := request.Of(b).Open(context.WithoutCancel(t.Context()))
		require.NoError(t, err)
		began := time.Now()
		_, err = call.Ask(event.New("/s", "ping", nil), request.Repliers{Type: "ping", Topic: "ping"}, func(context.Context) error { return nil })
		require.ErrorIs(t, err, request.ErrNoAnswer)
		require.Equal(t, 30*time.Second, time.Since(began))
		require.Greater(t, looks.Load(), int64(20))
		call.End()
		require.NoError(t, members.Close(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// stuck is a channel whose consumers never open.
type stuck struct{ *memory.Channel }

func (stuck) Consumer(ctx context.Context, _ event.Subscription) (event.Consumer, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// The context of a call bounds the opening of the inbox too; the next opens it anew.
func TestOpeningEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{App: "client", Channel: stuck{memory.New()}})
		require.NoError(t, b.Start(t.Context()))
		for range 2 {
			why := errors.New("why")
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
			began := time.Now()
			_, err := request.Of(b).Open(ctx)
			require.Error(t, err)
			require.Equal(t, time.Second, time.Since(began))
			cancel()
		}
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// blind is a channel whose census fails after the first look.
type blind struct {
	*memory.Channel
	looks func() (n int)
}

func (c blind) Groups(ctx context.Context, topic string) ([]event.GroupInfo, error) {
	if c.looks() > 1 {
		return nil, errors.New("nobody knows")
	}
	return c.Channel.Groups(ctx, topic)
}

// Repliers that can't be seen may be there.
func TestRepliersNotSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch, looks := memory.New(), new(atomic.Int64)
		b := bus.New(bus.Config{App: "client", Channel: blind{ch, func() int { return int(looks.Add(1)) }}})
		require.NoError(t, b.Start(t.Context()))
		of := request.Repliers{Type: "ping", Topic: "ping"}
		members, err := ch.Consumer(t.Context(), event.Subscription{Group: "server.ping", Topics: []string{"ping"}})
		require.NoError(t, err)
		call, err := request.Of(b).Open(context.WithoutCancel(t.Context()))
		require.NoError(t, err)
		require.NoError(t, request.Of(b).CheckReplier(t.Context(), of))
		_, err = call.Ask(event.New("/s", "ping", nil), of, func(context.Context) error { return nil })
		require.ErrorIs(t, err, request.ErrNoAnswer)
		require.Greater(t, looks.Load(), int64(20))
		call.End()
		require.NoError(t, members.Close(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
	})
}
