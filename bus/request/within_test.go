package request_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/request"
)

// The context ends at its time, with its parent, or by End: whoever looks, and in whatever way.
func TestWithin(t *testing.T) {
	why := errors.New("why")
	for name, c := range map[string]struct {
		act  func(w *request.Within, cancel context.CancelCauseFunc)
		want error
		why  error
	}{
		"time":   {func(*request.Within, context.CancelCauseFunc) { time.Sleep(time.Minute) }, context.DeadlineExceeded, context.DeadlineExceeded}, // virtual
		"parent": {func(_ *request.Within, cancel context.CancelCauseFunc) { cancel(why) }, context.Canceled, why},
		"end":    {func(w *request.Within, _ context.CancelCauseFunc) { w.End() }, context.Canceled, context.Canceled},
	} {
		for look, ended := range map[string]func(context.Context) error{
			"Err": func(ctx context.Context) error { return ctx.Err() },
			"Done": func(ctx context.Context) error {
				<-ctx.Done()
				return ctx.Err()
			},
			"a child": func(ctx context.Context) error {
				child, cancel := context.WithCancel(ctx)
				defer cancel()
				<-child.Done()
				require.Equal(t, context.Cause(ctx), context.Cause(child))
				return child.Err()
			},
			"AfterFunc": func(ctx context.Context) error {
				called := make(chan struct{})
				context.AfterFunc(ctx, func() { close(called) })
				<-called
				return ctx.Err()
			},
		} {
			for _, before := range []bool{false, true} {
				t.Run(name+"/"+look, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						parent, cancel := context.WithCancelCause(t.Context())
						defer cancel(nil)
						w := request.NewWithin(parent, time.Now().Add(time.Minute))
						defer w.End()
						if before { // somebody has asked
							_ = w.Done()
						}
						require.NoError(t, w.Err())
						c.act(w, cancel)
						synctest.Wait()
						require.Equal(t, c.want, ended(w))
						require.Equal(t, c.why, context.Cause(w))
					})
				})
			}
		}
	}
}

// It ends no later than its parent, has the parent's values, and costs nothing until somebody asks for Done.
func TestWithinIsCheap(t *testing.T) {
	type key struct{}
	now := time.Now()
	parent, cancel := context.WithDeadline(context.WithValue(t.Context(), key{}, 1), now.Add(time.Hour))
	defer cancel()
	w := request.NewWithin(parent, now.Add(2*time.Hour))
	by, ok := w.Deadline()
	require.True(t, ok)
	require.Equal(t, now.Add(time.Hour), by)
	require.Equal(t, 1, w.Value(key{}))
	_ = w.Done()
	require.Equal(t, 1, w.Value(key{}))
	w.End()
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() {
		w := request.NewWithin(parent, now.Add(time.Minute))
		_ = w.Err()
		w.End()
	}), 1.0)
}
