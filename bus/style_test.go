package bus_test

import (
	"context"
	"errors"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

type styled struct{ N int }

// Attributes come with the event, also with one that is published as it is; the last of a
// name counts.
func TestAttribute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		b := bus.New(bus.Config{Channel: memory.New(memory.Encode())})
		bus.Subscribe(b, "g", func(ctx context.Context, _ styled) error {
			info, _ := event.FromContext(ctx)
			got = append(got, info.Event.Extension("color"))
			return nil
		})
		require.NoError(t, b.Start(t.Context()))
		ctx := t.Context()
		require.NoError(t, b.Publish(ctx, styled{}, bus.Attribute("color", "red")))
		require.NoError(t, b.Publish(ctx, styled{}, bus.Attribute("color", "red"), bus.Attribute("color", "blue")))
		e := event.New("/s", "styled", []byte(`{}`)).WithExtension("color", "green")
		require.NoError(t, b.Publish(ctx, e))
		require.NoError(t, b.Publish(ctx, e, bus.Attribute("color", "")))
		require.ErrorContains(t, b.Publish(ctx, styled{}, bus.Attribute("Not OK", "x")), "Not OK")
		require.NoError(t, b.Drain(ctx))
		require.Equal(t, []string{"red", "blue", "green", ""}, got)
	})
}

// A group across applications is one: each event comes to one of them.
func TestAcrossApps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		var shared, own atomic.Int32
		var buses []*bus.Bus
		for _, app := range []string{"one", "two"} {
			b := bus.New(bus.Config{App: app, Channel: ch, KeepChannel: true})
			bus.Subscribe(b, "shared", func(context.Context, styled) error { shared.Add(1); return nil }, bus.AcrossApps())
			bus.Subscribe(b, "own", func(context.Context, styled) error { own.Add(1); return nil })
			require.NoError(t, b.Start(t.Context()))
			buses = append(buses, b)
		}
		for range 10 {
			require.NoError(t, buses[0].Publish(t.Context(), styled{}))
		}
		require.NoError(t, ch.Quiet(t.Context()))
		for _, b := range buses {
			require.NoError(t, b.Shutdown(t.Context()))
		}
		require.EqualValues(t, 10, shared.Load())
		require.EqualValues(t, 20, own.Load())
	})
}

// closed is a channel that tells when it is closed.
type closed struct {
	*memory.Channel

	tell func(string)
}

func (c closed) Close(ctx context.Context) error {
	c.tell("channel")
	return c.Channel.Close(ctx)
}

// What a style opened is closed when no handler runs any more, before the channel.
func TestStyleOnClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []string
		tell := func(what string) { order = append(order, what) }
		b := bus.New(bus.Config{Channel: closed{memory.New(), tell}})
		began := make(chan struct{})
		bus.Subscribe(b, "g", func(ctx context.Context, _ styled) error {
			close(began)
			<-ctx.Done()
			tell("handler")
			return ctx.Err()
		})
		require.NoError(t, b.Start(t.Context()))
		away := errors.New("away")
		require.True(t, b.Style().OnClose(func(context.Context) error { tell("style"); return away }))
		require.NoError(t, b.Publish(t.Context(), styled{}))
		<-began
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, b.Shutdown(ended), away)
		require.Equal(t, []string{"handler", "style", "channel"}, order)
		require.False(t, b.Style().OnClose(func(context.Context) error { return nil }), "too late")
	})
}

type styleKey struct{}

func TestStyle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{App: "shop", Channel: ch})
		s := b.Style()
		require.Nil(t, s.Kept(styleKey{}))
		require.Equal(t, "first", s.Keep(styleKey{}, "first"))
		require.Equal(t, "first", s.Keep(styleKey{}, "second"))
		require.Equal(t, "first", b.Style().Kept(styleKey{}))
		require.Equal(t, "shop", s.App())
		require.Equal(t, event.Channel(ch), s.Channel())
		typ, topic, err := s.Message(reflect.TypeFor[styled]())
		require.NoError(t, err)
		require.Equal(t, []string{"styled", "styled"}, []string{typ, topic})
		_, _, err = s.Message(reflect.TypeFor[int]())
		require.Error(t, err)
		contentType, data, err := s.Encode(styled{7})
		require.NoError(t, err)
		require.Equal(t, "application/json", contentType)
		var back styled
		require.NoError(t, s.Decode(event.New("/s", "x", data), &back))
		require.Equal(t, styled{7}, back)
		err = s.Decode(event.New("/s", "x", []byte(`{"N":"`+canary+`"}`)), &back)
		_, ok := errors.AsType[*bus.DecodeError](err)
		require.True(t, ok)
		require.NotContains(t, err.Error(), canary)

		require.ErrorIs(t, s.Accepts(t.Context()), bus.ErrNotStarted)
		require.ErrorIs(t, s.Send(t.Context(), "t", event.New("/s", "x", nil), true), bus.ErrNotStarted)
		wrong := errors.New("wrong")
		s.Mistake(wrong)
		require.ErrorIs(t, b.Start(t.Context()), wrong)
	})
}

// What is sent under a handler's context is collected, unless it is to go out now.
func TestStyleSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		b := bus.New(bus.Config{Channel: memory.New()})
		bus.Subscribe(b, "g", func(ctx context.Context, _ styled) error {
			s := b.Style()
			require.NoError(t, s.Send(ctx, "out", event.New("/s", "x", nil).WithID("collected"), false))
			require.NoError(t, s.Send(ctx, "out", event.New("/s", "x", nil).WithID("now"), true))
			return event.Reject(event.NewError("no", "no"))
		})
		bus.SubscribeRaw(b, "out", []string{"x"}, func(_ context.Context, e event.Event) error {
			got = append(got, e.ID())
			return nil
		}, bus.Topic("out"))
		require.NoError(t, b.Start(t.Context()))
		require.NoError(t, b.Publish(t.Context(), styled{}))
		require.PanicsWithValue(t, "bus: command.Handle after Start: subscribe first, so that Start can check everything",
			func() { b.Style().MustBeNew("command.Handle") })
		require.NoError(t, b.Drain(t.Context()))
		require.Equal(t, []string{"now"}, got)
	})
}

// A call runs a handler with all that is around it, in the caller's goroutine, also beside a
// channel: what it publishes goes out if it succeeds, hooks hear of it, and the error is the handler's.
func TestStyleCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ends []event.OutcomeKind
		var got []string
		no := errors.New("no")
		b := bus.New(bus.Config{Channel: memory.New(), Hooks: []any{attemptEnds{&ends}}})
		bus.Subscribe(b, "g", func(ctx context.Context, c styled) error {
			if err := b.Publish(ctx, event.New("/s", "x", nil).WithID(string(rune('0'+c.N))), bus.Topic("out")); err != nil {
				return err
			}
			if c.N > 1 {
				return no
			}
			return event.SetResult(ctx, "text/plain", []byte("done"))
		})
		bus.SubscribeRaw(b, "out", []string{"x"}, func(_ context.Context, e event.Event) error {
			got = append(got, e.ID())
			return nil
		}, bus.Topic("out"))
		s := b.Style()
		require.False(t, s.Calls("g", "styled"))
		require.NoError(t, b.Start(t.Context()))
		require.True(t, s.Calls("g", "styled"))
		require.False(t, s.Calls("g", "other"))
		require.False(t, s.Calls("other", "styled"))
		result, err := s.Call(t.Context(), "g", event.New("/s", "styled", []byte(`{"N":1}`)))
		require.NoError(t, err)
		require.Equal(t, "done", string(result.Data))
		_, err = s.Call(t.Context(), "g", event.New("/s", "styled", []byte(`{"N":2}`)))
		require.ErrorIs(t, err, no)
		_, err = s.Call(t.Context(), "other", event.New("/s", "styled", nil))
		require.ErrorContains(t, err, `group "other" has no handler to call for "styled"`)
		require.NoError(t, b.Drain(t.Context()))
		require.Equal(t, []string{"1"}, got)
		require.Equal(t, []event.OutcomeKind{event.OutcomeAcked, event.OutcomeDead}, ends[:2])
		_, err = s.Call(t.Context(), "g", event.New("/s", "styled", nil))
		require.ErrorIs(t, err, event.ErrClosed)
	})
}

type attemptEnds struct{ kinds *[]event.OutcomeKind }

func (a attemptEnds) OnAttempt(_ context.Context, e bus.AttemptEnd) {
	if e.Group == "g" {
		*a.kinds = append(*a.kinds, e.Outcome)
	}
}
