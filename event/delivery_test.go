package event_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

func TestSettlements(t *testing.T) {
	token := event.Token{1, 2}
	assert.Equal(t, event.Settlement{Token: token, Kind: event.SettleAck}, event.Ack(token))
	assert.Equal(t, event.Settlement{Token: token, Kind: event.SettleRetry, After: time.Second, Failures: 3}, event.Retry(token, time.Second, 3))
	assert.Equal(t, event.Settlement{Token: token, Kind: event.SettleRelease}, event.Release(token))
	cause := event.Cause{Code: "handler"}
	assert.Equal(t, event.Settlement{Token: token, Kind: event.SettleDead, Cause: &cause}, event.Dead(token, cause))
	assert.Equal(t, event.Settlement{Token: token, Kind: event.SettlePark, Cause: &cause}, event.Park(token, cause))
}

func TestPosition(t *testing.T) {
	assert.False(t, event.Position{}.Valid())
	assert.True(t, event.Position{Offset: 1}.Valid())
	assert.Equal(t, "3:42", event.Position{Lane: 3, Offset: 42}.String())
}

func TestStarts(t *testing.T) {
	assert.Equal(t, event.StartDefault, event.Start{}.Kind)
	assert.Equal(t, event.StartOldest, event.Oldest().Kind)
	assert.Equal(t, event.StartNewest, event.Newest().Kind)
	assert.Equal(t, event.Start{Kind: event.StartSince, Time: noon}, event.Since(noon))
}

func TestLagUnsettled(t *testing.T) {
	assert.Equal(t, 6, event.Lag{Waiting: 1, InHand: 2, Delayed: 3, Dead: 100}.Unsettled())
}

func TestCauseBounded(t *testing.T) {
	short := event.Cause{Code: "c", Text: "text", Handler: "h", Attempts: 1, Failures: 2, FirstFailedAt: noon, Stack: "stack"}
	assert.Equal(t, short, short.Bounded())
	name := strings.Repeat("a", event.MaxCauseName)
	exact := event.Cause{Code: name, Handler: name, Text: strings.Repeat("a", event.MaxCauseText), Stack: strings.Repeat("a", event.MaxCauseStack)}
	assert.Equal(t, exact, exact.Bounded())
	over := event.Cause{Code: name + "a", Handler: name + "a", Text: exact.Text + "a", Stack: exact.Stack + "a"}
	assert.Equal(t, exact, over.Bounded())
	for _, r := range []string{"é", "€", "😀"} {
		for shift := range len(r) {
			c := event.Cause{Text: strings.Repeat("a", shift) + strings.Repeat(r, event.MaxCauseText), Stack: strings.Repeat(r, event.MaxCauseStack)}.Bounded()
			assert.LessOrEqual(t, len(c.Text), event.MaxCauseText)
			assert.Greater(t, len(c.Text), event.MaxCauseText-len(r))
			assert.True(t, utf8.ValidString(c.Text), "never cut within a rune")
			assert.True(t, utf8.ValidString(c.Stack))
			assert.LessOrEqual(t, len(c.Stack), event.MaxCauseStack)
		}
	}
}

func TestJSONCodec(t *testing.T) {
	assert.Equal(t, "application/json", event.JSON.ContentType())
	data, err := event.JSON.Encode(map[string]int{"n": 1})
	require.NoError(t, err)
	assert.Equal(t, `{"n":1}`, string(data))
	var got map[string]int
	require.NoError(t, event.JSON.Decode(data, &got))
	assert.Equal(t, map[string]int{"n": 1}, got)
	require.Error(t, event.JSON.Decode([]byte("{"), &got))
	_, err = event.JSON.Encode(make(chan int))
	require.Error(t, err)
}
