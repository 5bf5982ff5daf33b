package fcm

import (
	"context"
	"fmt"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/internal/notify"
)

// Notify implements [command.Notifier]. It returns when all tokens have been sent to, or their
// time is over. The errors of tokens are one error; it asks for the longest wait of any of
// them ([event.RetryAfter]), and is permanent if another attempt can help none. When ctx ends
// it returns the cause of that.
func (n *Notifier) Notify(ctx context.Context, o command.Operation) error {
	if o.Subject == "" {
		return nil
	}
	m := n.cfg.Message(o)
	if m.empty() {
		return nil
	}
	if err := m.check(); err != nil {
		return event.Permanent(err)
	}
	tokens, err := n.cfg.Tokens.Of(ctx, o.Subject)
	if err != nil {
		return fmt.Errorf("fcm: tokens: %w", err)
	}
	return n.all(ctx, o.Subject, tokens, m)
}

// all sends a message to all tokens of a subject.
func (n *Notifier) all(ctx context.Context, subject string, tokens []string, m Message) error {
	outcomes := make([]outcome, len(tokens))
	notify.Each(len(tokens), maxAtOnce, func(i int) { outcomes[i] = n.send(ctx, tokens[i], m) })

	failures := make([]notify.Failure, len(tokens))
	for i, x := range outcomes {
		f := x.Failure
		if x.gone {
			f = notify.Of(n.cfg.Tokens.Remove(ctx, subject, tokens[i]))
		}
		if f.Err != nil {
			f.Err = fmt.Errorf("token %d: %w", i+1, f.Err)
		}
		failures[i] = f
	}
	err := notify.Join("fcm", failures)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
