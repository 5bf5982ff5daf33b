package event_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/event"
)

var errBase = errors.New("base")

func TestVerdicts(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want event.Verdict
		text string
	}{
		"nil":         {nil, event.Verdict{Kind: event.Done}, ""},
		"plain":       {errBase, event.Verdict{Kind: event.Failed}, "base"},
		"permanent":   {event.Permanent(errBase), event.Verdict{Kind: event.FailedForGood}, "permanent: base"},
		"retry after": {event.RetryAfter(time.Minute, errBase), event.Verdict{Kind: event.Failed, After: time.Minute, Timed: true}, "retry after 1m0s: base"},
		"at once":     {event.RetryAfter(0, errBase), event.Verdict{Kind: event.Failed, Timed: true}, "retry after 0s: base"},
		"in the past": {event.RetryAfter(-1, errBase), event.Verdict{Kind: event.Failed, Timed: true}, "retry after 0s: base"},
		"postpone":    {event.Postpone(time.Minute, errBase), event.Verdict{Kind: event.Postponed, After: time.Minute, Timed: true}, "postponed for 1m0s: base"},
		"reject":      {event.Reject(errBase), event.Verdict{Kind: event.Rejected}, "rejected: base"},
		"wrapped":     {fmt.Errorf("mail: %w", event.Permanent(errBase)), event.Verdict{Kind: event.FailedForGood}, "mail: permanent: base"},
		"joined":      {errors.Join(errors.New("a"), event.Reject(errBase)), event.Verdict{Kind: event.Rejected}, "a\nrejected: base"},
		"outermost":   {event.Permanent(event.RetryAfter(time.Hour, errBase)), event.Verdict{Kind: event.FailedForGood}, "permanent: retry after 1h0m0s: base"},
		"outermost 2": {event.Postpone(0, fmt.Errorf("x: %w", event.Reject(errBase))), event.Verdict{Kind: event.Postponed, Timed: true}, "postponed for 0s: x: rejected: base"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, event.VerdictOf(c.err))
			if c.err != nil {
				assert.Equal(t, c.text, c.err.Error())
				if name != "nil" {
					require.ErrorIs(t, c.err, errBase)
				}
			}
		})
	}
}

func TestVerdictsOfNil(t *testing.T) {
	for kind, err := range map[event.VerdictKind]error{
		event.FailedForGood: event.Permanent(nil), event.Failed: event.RetryAfter(1, nil),
		event.Postponed: event.Postpone(1, nil), event.Rejected: event.Reject(nil),
	} {
		require.Error(t, err, "a mark on nil is an error all the same")
		assert.Equal(t, kind, event.VerdictOf(err).Kind)
	}
}

func TestKindsHaveNames(t *testing.T) {
	for want, kind := range map[string]fmt.Stringer{
		"done": event.Done, "failed": event.Failed, "failed for good": event.FailedForGood, "postponed": event.Postponed, "rejected": event.Rejected,
		"acked": event.OutcomeAcked, "retried": event.OutcomeRetried, "dead": event.OutcomeDead,
		"ack": event.SettleAck, "retry": event.SettleRetry, "release": event.SettleRelease, "park": event.SettlePark,
		"77": event.VerdictKind(77), "78": event.OutcomeKind(78), "79": event.SettleKind(79),
	} {
		assert.Equal(t, want, kind.String())
	}
	assert.Equal(t, "rejected", event.OutcomeRejected.String())
	assert.Equal(t, "dead", event.SettleDead.String())
}

func TestErrorIsComparesCodes(t *testing.T) {
	soldOut := event.NewError("sold_out", "there is none left")
	assert.Equal(t, "there is none left (sold_out)", soldOut.Error())
	raw, err := json.Marshal(fmt.Errorf("x: %w", soldOut).Error())
	require.NoError(t, err)
	assert.NotEmpty(t, raw)

	raw, err = json.Marshal(soldOut.WithDetails(map[string]int{"left": 0}))
	require.NoError(t, err)
	assert.JSONEq(t, `{"code":"sold_out","message":"there is none left","details":{"left":0}}`, string(raw))
	travelled := new(event.Error)
	require.NoError(t, json.Unmarshal(raw, travelled))
	require.ErrorIs(t, travelled, soldOut)
	require.ErrorIs(t, fmt.Errorf("order: %w", travelled), soldOut)
	require.ErrorIs(t, soldOut.WithMessage("nothing"), soldOut)
	require.NotErrorIs(t, travelled, event.NewError("other", "there is none left"))
	require.NotErrorIs(t, travelled, errBase)
	require.NotErrorIs(t, event.NewError("", ""), errBase)

	assert.Equal(t, "nothing (sold_out)", soldOut.WithMessage("nothing").Error())
	assert.Equal(t, "there is none left (sold_out)", soldOut.Error(), "With… return copies")
	assert.Nil(t, soldOut.Details)
	assert.Equal(t, "sold_out", event.CodeOf(fmt.Errorf("x: %w", event.Reject(travelled))))
	assert.Empty(t, event.CodeOf(errBase))
	assert.Empty(t, event.CodeOf(nil))
	assert.Panics(t, func() { _ = soldOut.WithDetails(make(chan int)) })
}

func TestFullError(t *testing.T) {
	err := &event.FullError{Topic: "orders", Group: "mailer", Waiting: 12, Bound: 10}
	require.ErrorIs(t, err, event.ErrFull)
	require.NotErrorIs(t, err, event.ErrClosed)
	assert.Equal(t, `event: topic "orders" is full: group "mailer" has 12 events unsettled, bound 10`, err.Error())
	err.Err = context.DeadlineExceeded
	require.ErrorIs(t, fmt.Errorf("x: %w", err), event.ErrFull)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Contains(t, err.Error(), "deadline")
}

func TestProduceError(t *testing.T) {
	bad := valid().WithID("").Validate()
	failures := []event.ProduceFailure{
		{Index: 1, ID: "a", Err: event.ErrTooLarge},
		{Index: 3, ID: "b", Err: context.DeadlineExceeded, Maybe: true},
		{Index: 4, ID: "c", Err: fmt.Errorf("x: %w", event.ErrDelayTooLong)},
		{Index: 5, Err: bad},
		{Index: 6, ID: "d", Err: event.ErrFull},
		{Index: 7, ID: "e", Err: event.ErrTooLarge, Maybe: true},
	}
	for i, final := range []bool{true, false, true, true, false, false} {
		assert.Equal(t, final, failures[i].Final(), i)
	}
	err := &event.ProduceError{Failed: failures}
	require.ErrorIs(t, err, event.ErrTooLarge)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Len(t, err.Unwrap(), 6)
	assert.Equal(t, "event: 6 not accepted; [1] \"a\": event: larger than the channel's limit"+
		"; [3] \"b\": context deadline exceeded (may be written); [4] \"c\": x: event: delay longer than the channel's longest; and 3 more", err.Error())
}

func TestSettleError(t *testing.T) {
	err := &event.SettleError{Failed: map[int]error{7: event.ErrFull, 3: event.ErrLeaseLost, 9: event.ErrClosed}}
	for range 20 {
		assert.Equal(t, "event: 3 settlements refused; [3] event: lease lost", err.Error(), "the same each time")
		assert.Equal(t, []error{event.ErrLeaseLost, event.ErrFull, event.ErrClosed}, err.Unwrap())
	}
	require.ErrorIs(t, err, event.ErrFull)
	require.ErrorIs(t, err.At(3), event.ErrLeaseLost)
	require.NoError(t, err.At(4))
	require.NoError(t, (*event.SettleError)(nil).At(0))
	assert.Equal(t, "event: no settlement refused", (&event.SettleError{}).Error())
}
