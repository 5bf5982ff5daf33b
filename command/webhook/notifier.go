package webhook

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/notify"
)

// Notify implements [command.Notifier]. It returns when all targets have answered, or their
// time is over. The errors of targets are one error; it asks for the longest wait that one
// of them wants ([event.RetryAfter]), and is permanent if another attempt can help none.
// When ctx ends it returns the cause of that.
func (n *Notifier) Notify(ctx context.Context, o command.Operation) error {
	targets, err := n.cfg.Targets(ctx, o)
	if err != nil || len(targets) == 0 {
		return err
	}
	body, err := bodyOf(o, n.cfg.MaxResult)
	if err != nil {
		return event.Permanent(err)
	}
	m := message{idOf(o), body}
	answers := make([]answer, len(targets))
	notify.Each(len(targets), maxAtOnce, func(i int) { answers[i] = n.tell(ctx, targets[i], m) })

	failures := make([]notify.Failure, len(targets))
	for i, a := range answers {
		failures[i] = a.Failure
		if a.gone {
			failures[i] = n.disable(ctx, targets[i])
		}
	}
	err = notify.Join("webhook", failures)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// disable passes on that a target wants no more.
func (n *Notifier) disable(ctx context.Context, t Target) notify.Failure {
	if n.cfg.OnGone == nil {
		return notify.Failure{}
	}
	f := notify.Of(n.cfg.OnGone(ctx, t))
	if f.Err != nil {
		f.Err = fmt.Errorf("%s is gone: %w", hostOf(t), f.Err)
	}
	return f
}
