package request_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/request"
	"github.com/leat-go/leat/event"
)

type ping struct{ N int }

type pong struct{ N int }

// only topics of replies are addresses.
func TestAddress(t *testing.T) {
	for _, s := range []string{"replies/01J", "shop.replies/01J", "my_shop-2.replies/a-B_9"} {
		a, err := request.ParseAddress(s)
		require.NoError(t, err, s)
		require.Equal(t, s, a.String())
	}
	for _, s := range []string{
		"", "/", "replies", "replies/", "orders/01J", "shop.orders/01J", ".replies/01J", "shopreplies/01J", "a.b.replies/01J",
		"shop.replies/a/b", "shop.replies/a b", "shop.replies/a\n", "sh op.replies/a", "shop.replies.dead/a", strings.Repeat("a", 300) + ".replies/a",
	} {
		_, err := request.ParseAddress(s)
		require.Error(t, err, s)
		require.NotContains(t, err.Error(), "01J", "nothing of what came is quoted")
	}
}

// asking is a Bus that asks and one that answers, each with the channel.
func asking(t *testing.T, answer func(r *request.Requests, ctx context.Context, e event.Event) error) (*bus.Bus, *memory.Channel) {
	t.Helper()
	ch := memory.New(memory.Encode())
	answers := bus.New(bus.Config{App: "server", Channel: ch, KeepChannel: true})
	bus.SubscribeRaw(answers, "g", []string{"ping"}, func(ctx context.Context, e event.Event) error {
		return answer(request.Of(answers), ctx, e)
	}, bus.Topic("ping"))
	asks := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true})
	for _, b := range []*bus.Bus{answers, asks} {
		require.NoError(t, b.Start(t.Context()))
		t.Cleanup(func() { require.NoError(t, b.Shutdown(context.WithoutCancel(t.Context()))) })
	}
	return asks, ch
}

func ask(ctx context.Context, b *bus.Bus, n int) (pong, error) {
	var answer pong
	call, err := request.Of(b).Open(ctx)
	if err != nil {
		return answer, err
	}
	defer call.End()
	topic, e, err := b.Style().Prepare(ctx, ping{n}, nil, call.Attributes())
	if err != nil {
		return answer, err
	}
	got, err := call.Ask(e, request.Repliers{}, func(ctx context.Context) error { return b.Style().Send(ctx, topic, e, true) })
	if err != nil {
		return answer, err
	}
	err = request.Of(b).Read(got, &answer)
	return answer, err
}

// Each who asks gets the answer to its own request; answers that come again, or are for
// others, do nothing.
func TestAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := asking(t, func(r *request.Requests, ctx context.Context, e event.Event) error {
			for range 2 {
				if err := r.Answer(ctx, e, request.Answer{Result: event.Result{ContentType: "application/json", Data: e.Data()}}); err != nil {
					return err
				}
			}
			return nil
		})
		answers := make(chan error, 100)
		for n := range 100 {
			go func() {
				got, err := ask(t.Context(), b, n)
				if err == nil && got.N != n {
					err = errors.New("the answer to another")
				}
				answers <- err
			}()
		}
		for range 100 {
			require.NoError(t, <-answers)
		}
	})
}

// One inbox serves all, and answers that nobody waits for are counted.
func TestDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := asking(t, func(r *request.Requests, ctx context.Context, e event.Event) error {
			for range 3 {
				if err := r.Answer(ctx, e, request.Answer{Result: event.Result{ContentType: "application/json", Data: e.Data()}}); err != nil {
					return err
				}
			}
			return nil
		})
		for n := range 10 {
			_, err := ask(t.Context(), b, n)
			require.NoError(t, err)
		}
		synctest.Wait()
		require.EqualValues(t, 20, request.Of(b).Dropped())
	})
}

// Who looks after those who wait is gone when nobody waits any more, and comes again with the next.
func TestGuardGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{App: "client", Channel: ch})
		require.NoError(t, b.Start(t.Context()))
		guards := func() int {
			synctest.Wait()
			buf := make([]byte, 1<<20)
			return strings.Count(string(buf[:runtime.Stack(buf, true)]), "(*Requests).guard(")
		}
		of := request.Repliers{Type: "ping", Topic: "ping"}
		members, err := ch.Consumer(t.Context(), event.Subscription{Group: "server.ping", Topics: []string{"ping"}})
		require.NoError(t, err)
		for range 2 {
			require.Zero(t, guards())
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			call, err := request.Of(b).Open(ctx)
			require.NoError(t, err)
			require.NoError(t, request.Of(b).CheckReplier(ctx, of))
			e := event.New("/s", "ping", nil)
			_, err = call.Ask(e, of, func(ctx context.Context) error {
				require.Equal(t, 1, guards())
				return b.Style().Send(ctx, "ping", e, true)
			})
			require.ErrorIs(t, err, request.ErrNoAnswer)
			call.End()
			cancel()
			time.Sleep(5 * time.Second) // virtual
		}
		require.NoError(t, members.Close(t.Context()))
		require.NoError(t, b.Shutdown(t.Context()))
		require.Zero(t, guards())
	})
}

// Who gets no answer waits until the deadline, 30 seconds without one; a late answer is
// not even sent.
func TestNoAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late []error
		b, ch := asking(t, func(r *request.Requests, ctx context.Context, e event.Event) error {
			time.Sleep(time.Minute) // virtual
			late = append(late, r.Answer(ctx, e, request.Answer{}))
			return nil
		})
		answers, err := ch.Consumer(t.Context(), event.Subscription{Group: "spy", Topics: []string{"client.replies"}})
		require.NoError(t, err)
		began := time.Now()
		_, err = ask(t.Context(), b, 1)
		require.ErrorIs(t, err, request.ErrNoAnswer)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 30*time.Second, time.Since(began))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = ask(ctx, b, 2)
		require.ErrorIs(t, err, request.ErrNoAnswer)
		require.Equal(t, 31*time.Second, time.Since(began))
		require.NoError(t, ch.Quiet(t.Context(), "server.g"))
		require.Equal(t, []error{nil, nil}, late)
		lag, err := ch.Lag(t.Context(), "client.replies", "spy")
		require.NoError(t, err)
		require.Zero(t, lag.Unsettled())
		require.NoError(t, answers.Close(t.Context()))
	})
}

// An error keeps its code, message and details; a result that can't be sent is told; a
// request without an address, or with a wrong one, is answered nowhere.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		no := event.NewError("sold out: ünïcode", "none left").WithDetails([]int{1})
		b, ch := asking(t, func(r *request.Requests, ctx context.Context, e event.Event) error {
			return r.Answer(ctx, e, request.Answer{Err: no})
		})
		_, err := ask(t.Context(), b, 1)
		require.ErrorIs(t, err, no)
		answer, _ := errors.AsType[*event.Error](err)
		require.Equal(t, no, answer)
		for _, to := range []string{"", "orders/1", "replies"} {
			e := event.New("/s", "ping", nil).WithExtension(event.ExtReplyTo, to)
			require.NoError(t, b.Publish(t.Context(), e, bus.Topic("ping")), to)
		}
		require.NoError(t, ch.Quiet(t.Context()))
	})
}

// Opening comes back from a failure, and one inbox serves all.
func TestOpenFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := &failing{Channel: memory.New(), fails: 1}
		b := bus.New(bus.Config{App: "client", Channel: ch})
		_, err := request.Of(b).Address(t.Context())
		require.ErrorIs(t, err, bus.ErrNotStarted)
		require.NoError(t, b.Start(t.Context()))
		_, err = request.Of(b).Address(t.Context())
		require.ErrorIs(t, err, errAway)
		first, err := request.Of(b).Address(t.Context())
		require.NoError(t, err)
		require.Equal(t, "client.replies", first.Topic)
		addresses := make(chan request.Address, 10)
		for range 10 {
			go func() {
				a, _ := request.Of(b).Address(t.Context())
				addresses <- a
			}()
		}
		for range 10 {
			require.Equal(t, first, <-addresses)
		}
		require.Equal(t, 2, ch.opened)
		require.NoError(t, b.Shutdown(t.Context()))
		_, err = request.Of(b).Address(t.Context())
		require.ErrorIs(t, err, event.ErrClosed)
	})
}

var errAway = errors.New("away")

type failing struct {
	*memory.Channel

	fails, opened int
}

func (f *failing) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	f.opened++
	if f.opened <= f.fails {
		return nil, errAway
	}
	return f.Channel.Consumer(ctx, s)
}

// A handler is looked for once; where nobody knows the groups, the group is made.
func TestCheckHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true})
		r := request.Of(b)
		require.ErrorIs(t, r.CheckHandler(t.Context(), "g", "t"), request.ErrNoHandler)
		require.NoError(t, ch.EnsureTopic(t.Context(), event.TopicSpec{Name: "t"}))
		require.NoError(t, ch.EnsureGroup(t.Context(), "other", event.Start{}, "t"))
		require.ErrorIs(t, r.CheckHandler(t.Context(), "g", "t"), request.ErrNoHandler)
		require.NoError(t, ch.EnsureGroup(t.Context(), "g", event.Start{}, "t"))
		require.NoError(t, r.CheckHandler(t.Context(), "g", "t"))
		require.NoError(t, ch.RemoveGroup(t.Context(), "g", "t"))
		require.NoError(t, r.CheckHandler(t.Context(), "g", "t"), "it isn't looked for again")

		blind := request.Of(bus.New(bus.Config{App: "client", Channel: provisioned{ch, ch}}))
		require.NoError(t, blind.CheckHandler(t.Context(), "made", "new"))
		groups, err := ch.Groups(t.Context(), "new")
		require.NoError(t, err)
		require.Equal(t, []event.GroupInfo{{Group: "made"}}, groups)
		require.NoError(t, ch.Close(t.Context()))
	})
}

// provisioned is a channel that makes groups and doesn't know them.
type provisioned struct {
	event.Channel
	event.Provisioner
}

// small is a channel that takes no large answers, and none for others.
type small struct{ *memory.Channel }

func (s small) Producer(ctx context.Context, topic string) (event.Producer, error) {
	if topic == "other.replies" {
		return nil, event.ErrNotSupported
	}
	p, err := s.Channel.Producer(ctx, topic)
	return bounded{p}, err
}

type bounded struct{ event.Producer }

func (b bounded) Produce(ctx context.Context, events ...event.Event) error {
	for _, e := range events {
		if len(e.Data()) > 1200 {
			return event.ErrTooLarge
		}
	}
	return b.Producer.Produce(ctx, events...)
}

// A result that is too large for the channel is told, not lost.
func TestLargeResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bus.New(bus.Config{Channel: small{memory.New()}})
		bus.SubscribeRaw(b, "g", []string{"ping"}, func(ctx context.Context, e event.Event) error {
			large := event.Result{ContentType: "application/json", Data: []byte(strings.Repeat("1", 1201))}
			return request.Of(b).Answer(ctx, e, request.Answer{Result: large})
		}, bus.Topic("ping"))
		require.NoError(t, b.Start(t.Context()))
		_, err := ask(t.Context(), b, 1)
		require.ErrorIs(t, err, request.ErrResultTooLarge)
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// A topic that takes no answers holds a request until nobody waits any more; one that says no end
// isn't held.
func TestNoSuchReplies(t *testing.T) {
	for by, want := range map[string]int{"": 1, "soon": 1, time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC).Format(time.RFC3339Nano): 2} {
		synctest.Test(t, func(t *testing.T) {
			b := bus.New(bus.Config{Channel: small{memory.New()}})
			require.NoError(t, b.Start(t.Context()))
			e := event.New("/s", "ping", nil).WithExtension(event.ExtReplyTo, "other.replies/x").WithExtension(event.ExtReplyBy, by)
			tries := 1
			for request.Of(b).Answer(t.Context(), e, request.Answer{}) != nil {
				tries++
				time.Sleep(time.Hour) // virtual
			}
			require.Equal(t, want, tries, by)
			require.NoError(t, b.Shutdown(t.Context()))
		})
	}
}

// An answer that can't be sent as it is comes as what can: an error keeps its code. The request
// isn't held.
func TestOddAnswers(t *testing.T) {
	long := strings.Repeat("é", 2000)
	for name, c := range map[string]struct {
		answer request.Answer
		want   *event.Error // nil: something that can't be decoded
	}{
		"large error":   {request.Answer{Err: event.NewError("no", "sorry").WithDetails(long)}, event.NewError("no", "sorry")},
		"long message":  {request.Answer{Err: event.NewError("no", "x"+long)}, event.NewError("no", "x"+long[:1022])},
		"no JSON":       {request.Answer{Err: &event.Error{Code: "no", Message: "sorry", Details: []byte("{")}}, event.NewError("no", "sorry")},
		"no media type": {request.Answer{Result: event.Result{ContentType: "text/plain\n", Data: []byte("1")}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := bus.New(bus.Config{Channel: small{memory.New()}})
				bus.SubscribeRaw(b, "g", []string{"ping"}, func(ctx context.Context, e event.Event) error {
					return request.Of(b).Answer(ctx, e, c.answer)
				}, bus.Topic("ping"))
				require.NoError(t, b.Start(t.Context()))
				_, err := ask(t.Context(), b, 1)
				require.NotErrorIs(t, err, request.ErrNoAnswer)
				if no, ok := errors.AsType[*event.Error](err); c.want != nil {
					require.True(t, ok)
					require.Equal(t, c.want, no)
				} else {
					require.Error(t, err)
				}
				require.NoError(t, b.Shutdown(t.Context()))
			})
		})
	}
}

// Two processes of an App that ask by the same id get their own answers, not each other's.
func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		answers := bus.New(bus.Config{App: "server", Channel: ch, KeepChannel: true})
		bus.SubscribeRaw(answers, "g", []string{"ping"}, func(ctx context.Context, e event.Event) error {
			return request.Of(answers).Answer(ctx, e, request.Answer{Result: event.Result{Data: e.Data()}})
		}, bus.Topic("ping"))
		require.NoError(t, answers.Start(t.Context()))
		require.NoError(t, answers.Pause("g"))
		got := make(chan [2]int, 2)
		var asking []*bus.Bus
		for n := range 2 {
			b := bus.New(bus.Config{App: "client", Channel: ch, KeepChannel: true, NewID: func(event.Event) string { return "same" }})
			require.NoError(t, b.Start(t.Context()))
			asking = append(asking, b)
			go func() {
				answer, err := ask(t.Context(), b, n)
				if err != nil {
					t.Error(err)
				}
				got <- [2]int{n, answer.N}
			}()
		}
		synctest.Wait()
		require.NoError(t, answers.Resume("g"))
		for range 2 {
			x := <-got
			require.Equal(t, x[0], x[1])
		}
		for _, b := range append(asking, answers) {
			require.NoError(t, b.Shutdown(t.Context()))
		}
	})
}

// An inbox that the channel ended is opened anew.
func TestInboxEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ch := memory.New()
		b := bus.New(bus.Config{Channel: ending{ch}})
		require.NoError(t, b.Start(t.Context()))
		first, err := request.Of(b).Address(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		second, err := request.Of(b).Address(t.Context())
		require.NoError(t, err)
		require.NotEqual(t, first.Instance, second.Instance)
		began := time.Now()
		_, err = ask(t.Context(), b, 1)
		require.ErrorContains(t, err, "ask again")
		require.Zero(t, time.Since(began), "who waits hears it")
		require.NoError(t, b.Shutdown(t.Context()))
	})
}

// ending is a channel whose consumers receive nothing.
type ending struct{ *memory.Channel }

func (e ending) Consumer(ctx context.Context, s event.Subscription) (event.Consumer, error) {
	c, err := e.Channel.Consumer(ctx, s)
	return ended{c}, err
}

type ended struct{ event.Consumer }

func (ended) Receive(context.Context, []event.Delivery) (int, error) { return 0, errAway }
