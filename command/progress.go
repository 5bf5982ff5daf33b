package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/leat-go/leat/event"
)

// FromContext returns the operation of the command whose handler's context ctx is, as it was
// when the attempt began: who sent it (Subject), whose it is, its id and attempt. It asks no
// store. It reports false outside a handler of commands.
func FromContext(ctx context.Context) (Operation, bool) {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	if !ok {
		return Operation{}, false
	}
	return a.fresh(), true
}

// Progress says how much of the command is done whose handler's context ctx is, in percent,
// and what is being done, for people. Those who watch its operation see it. Without
// [Config].Operations it does nothing. An error says that it wasn't written, and is no reason to
// fail. Outside a handler of commands it returns [event.ErrNotHandling].
func Progress(ctx context.Context, percent int, note string) error {
	a, ok := ctx.Value(attemptKey{}).(*attempt)
	switch {
	case !ok:
		return event.ErrNotHandling
	case percent < 0 || percent > 100:
		return fmt.Errorf("command: progress of %d percent", percent)
	case a.ops == nil:
		return nil
	}
	_, err := Change(ctx, a.ops, a.e.ID(), func(o *Operation) bool {
		if o.State != Running {
			return false
		}
		o.Progress = &Stage{Percent: percent, Note: note}
		return true
	})
	if errors.Is(err, ErrNoOperation) || errors.Is(err, ErrForgotten) {
		return nil
	}
	return err
}
