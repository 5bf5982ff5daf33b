package watermillbridge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/event"
)

// wrapped is a channel of the bridge as another type has it.
type wrapped struct{ *watermillbridge.Channel }

// On a channel of the bridge the group is made before anybody joins: by the pub/sub's
// EnsureGroup, or by its subscribers, also where the channel is wrapped.
func TestSubscribeInitializeOnTheBridge(t *testing.T) {
	type made struct {
		group, topic string
		from         event.StartKind
	}
	for name, ensures := range map[string]bool{"EnsureGroup": true, "a subscriber": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var all []made
				ch := bridged(t, func(ps *watermillbridge.PubSub) {
					if !ensures {
						return
					}
					ps.Guarantees.History = true
					mem := ps.Subscriber
					ps.EnsureGroup = func(_ context.Context, group, topic string, from event.Start) error {
						all = append(all, made{group, topic, from.Kind})
						s, err := mem(watermillbridge.Member{Group: group})
						require.NoError(t, err)
						require.NoError(t, s.(message.SubscribeInitializer).SubscribeInitialize(topic))
						return s.Close()
					}
				})
				cfg := watermillbridge.SubscriberConfig{Group: "g", CloseTimeout: time.Second}
				if ensures {
					cfg.From = event.Newest()
				}
				s := watermillbridge.NewSubscriber(wrapped{ch}, cfg)
				require.NoError(t, s.SubscribeInitialize("orders"))
				if ensures {
					require.Equal(t, []made{{"g", "orders", event.StartNewest}}, all)
				}
				publish(t, ch, "orders", "early")
				ms, err := s.Subscribe(t.Context(), "orders")
				require.NoError(t, err)
				select {
				case m := <-ms:
					require.Equal(t, "early", m.UUID)
					m.Ack()
				case <-time.After(time.Hour):
					require.Fail(t, "what was published after SubscribeInitialize is lost")
				}
				require.NoError(t, s.Close())
				require.NoError(t, ch.Close(t.Context()))
			})
		})
	}
}

// memberless is a subscriber that has nothing but Watermill's own methods.
type memberless struct{ message.Subscriber }

// noProvisioner is a channel without capabilities.
type noProvisioner struct{ event.Channel }

// Where no group can be made SubscribeInitialize says so: what is published next would
// be lost.
func TestSubscribeInitializeFails(t *testing.T) {
	mem := memory.New()
	for name, c := range map[string]struct {
		alter func(*watermillbridge.PubSub)
		from  event.Start
		want  error
	}{
		"EnsureGroup fails": {want: errRefused, alter: func(ps *watermillbridge.PubSub) {
			ps.EnsureGroup = func(context.Context, string, string, event.Start) error { return errRefused }
		}},
		"no history": {want: event.ErrNoHistory, from: event.Oldest()},
		"no subscriber": {want: errRefused, alter: func(ps *watermillbridge.PubSub) {
			ps.Subscriber = func(watermillbridge.Member) (message.Subscriber, error) { return nil, errRefused }
		}},
		"the pub/sub makes none": {want: event.ErrNotSupported, alter: func(ps *watermillbridge.PubSub) {
			of := ps.Subscriber
			ps.Subscriber = func(m watermillbridge.Member) (message.Subscriber, error) {
				s, err := of(m)
				return memberless{s}, err
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ch := bridged(t, c.alter)
			s := watermillbridge.NewSubscriber(ch, watermillbridge.SubscriberConfig{Group: "g", From: c.from})
			err := s.SubscribeInitialize("orders")
			require.ErrorIs(t, err, c.want)
			require.ErrorContains(t, err, `group "g" on topic "orders" is not made`)
			require.NoError(t, ch.Close(t.Context()))
			require.Error(t, s.SubscribeInitialize("orders"))
		})
	}
	s := watermillbridge.NewSubscriber(noProvisioner{mem}, watermillbridge.SubscriberConfig{Group: "g"})
	require.ErrorIs(t, s.SubscribeInitialize("orders"), event.ErrNotSupported)
	s = watermillbridge.NewSubscriber(noProvisioner{mem}, watermillbridge.SubscriberConfig{})
	require.NoError(t, s.SubscribeInitialize("orders"), "it is of no group")
}
