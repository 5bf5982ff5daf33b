package bridgeaws_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/smithy-go/middleware"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/watermillbridge"
	"github.com/leat-go/leat/bus/watermillbridge/bridgeaws"
	"github.com/leat-go/leat/event"
)

// letters returns the dead letters of a group.
func letters(tb testing.TB, ch *watermillbridge.Channel, topic, group string) []event.DeadLetter {
	tb.Helper()
	var all []event.DeadLetter
	for d, err := range ch.DeadLetters(tb.Context(), topic, group) {
		require.NoError(tb, err)
		all = append(all, d)
	}
	return all
}

// What was redriven of a message with as many attributes as SQS takes comes, although it
// has one more: SNS would drop it. What can't be an attribute comes too.
func TestRedriveOfManyAttributes(t *testing.T) {
	t.Parallel()
	topic, ch := own("orders"), open(t, bridgeaws.Config{Poll: time.Second, AWS: emulator(t)})
	c := member(t, ch, "g", topic)
	m := message.NewMessage("1", []byte("x"))
	for _, name := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I"} {
		m.Metadata.Set(name, "of "+name)
	}
	publish(t, topic, m)
	d := receive(t, c)
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(d.Token, event.Cause{Text: "no \uFFFE\x00"})}))
	all := letters(t, ch, topic, "g")
	require.Len(t, all, 1)
	require.Equal(t, "no \uFFFE\x00", all[0].Cause.Text)
	require.NoError(t, ch.Redrive(t.Context(), all[0]))
	again := receive(t, c)
	require.True(t, again.Redriven)
	require.True(t, again.Event.Equal(d.Event))
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Ack(again.Token)}))
	require.NoError(t, c.Close(t.Context()))
}

// Bytes that are no event come as such, and are kept as a dead letter.
func TestUndecodable(t *testing.T) {
	t.Parallel()
	topic, ch := own("orders"), open(t, bridgeaws.Config{Poll: time.Second, AWS: emulator(t)})
	c := member(t, ch, "g", topic)
	m := message.NewMessage("1", []byte("no event {"))
	m.Metadata.Set("content-type", "application/cloudevents+json")
	publish(t, topic, m)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	buf := make([]event.Delivery, 1)
	_, err := c.Receive(ctx, buf)
	require.NoError(t, err)
	require.Error(t, buf[0].Err)
	require.NotContains(t, buf[0].Err.Error(), "no event {")
	require.Equal(t, "no event {", string(buf[0].Raw))
	require.Equal(t, topic, buf[0].Topic)
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(buf[0].Token, event.Cause{Code: "decode"})}))
	all := letters(t, ch, topic, "g")
	require.Len(t, all, 1)
	require.Equal(t, "no event {", string(all[0].Raw))
	require.NoError(t, c.Close(t.Context()))
}

// measured notes how large a message of SNS was at most.
type measured struct {
	mu   sync.Mutex
	most int
}

func (m *measured) option(s *middleware.Stack) error {
	return s.Initialize.Add(middleware.InitializeMiddlewareFunc("measured",
		func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
			middleware.InitializeOutput, middleware.Metadata, error,
		) {
			if p, ok := in.Parameters.(*sns.PublishInput); ok {
				n := len(*p.Message)
				for name, value := range p.MessageAttributes {
					n += len(name) + len(*value.DataType) + len(*value.StringValue)
				}
				m.mu.Lock()
				m.most = max(m.most, n)
				m.mu.Unlock()
			}
			return next.HandleInitialize(ctx, in)
		}), middleware.Before)
}

// The largest event can become a dead letter with a long cause, and be redriven: SNS
// takes that too.
func TestLargestBecomesDeadLetter(t *testing.T) {
	t.Parallel()
	var size measured
	cfg, topic := emulator(t), own("orders")
	cfg.APIOptions = append(cfg.APIOptions, size.option)
	ch := open(t, bridgeaws.Config{Poll: time.Second, AWS: cfg})
	c := member(t, ch, "g", topic)
	p, err := ch.Producer(t.Context(), topic)
	require.NoError(t, err)
	large := func(n int) event.Event {
		return event.New("/t", "t", nil).WithKey(strings.Repeat("k", 1000)).WithData("text/plain", []byte(strings.Repeat("x", n)))
	}
	n := 240 << 10
	for ; ; n -= 100 {
		if err = p.Produce(t.Context(), large(n)); err == nil {
			break
		}
		require.ErrorIs(t, err, event.ErrTooLarge)
	}
	require.Greater(t, n, 236<<10)
	d := receive(t, c)
	cause := event.Cause{
		Code: strings.Repeat("c", event.MaxCauseName), Handler: strings.Repeat("h", event.MaxCauseName),
		Text: strings.Repeat("<\n", event.MaxCauseText/2), Stack: strings.Repeat("\t/dir/file.go:12\n", event.MaxCauseStack/17),
	}
	require.NoError(t, c.Settle(t.Context(), []event.Settlement{event.Dead(d.Token, cause)}))
	all := letters(t, ch, topic, "g")
	require.Len(t, all, 1)
	require.Equal(t, cause.Stack, all[0].Cause.Stack)
	require.NoError(t, ch.Redrive(t.Context(), all[0]))
	require.True(t, receive(t, c).Event.Equal(d.Event))
	require.NoError(t, c.Close(t.Context()))
	size.mu.Lock()
	defer size.mu.Unlock()
	require.LessOrEqual(t, size.most, 256<<10)
	t.Logf("the largest message had %d of %d bytes", size.most, 256<<10)
}
