package main

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// notifier sends notifications through a mail server that is busy now and then.
type notifier struct {
	b     *bus.Bus
	order order
}

// newNotifier subscribes the group. It has one worker, the default; an event that
// waits for its retry doesn't occupy it.
func newNotifier(b *bus.Bus) *notifier {
	n := &notifier{b: b}
	retry := bus.Retry(bus.Backoff{First: 200 * time.Millisecond, Attempts: 5})
	bus.Subscribe(b, "notifier", func(ctx context.Context, e Push) error {
		text := fmt.Sprintf("%d commits pushed to %s", len(e.Commits), strings.TrimPrefix(e.Ref, "refs/heads/"))
		return n.notify(ctx, e.Repository, text)
	}, retry)
	bus.Subscribe(b, "notifier", func(ctx context.Context, e Issues) error {
		return n.notify(ctx, e.Repository, fmt.Sprintf("issue %d %s: %s", e.Issue.Number, e.Action, e.Issue.Title))
	}, retry)
	bus.Subscribe(b, "notifier", func(ctx context.Context, e PullRequest) error {
		return n.notify(ctx, e.Repository, fmt.Sprintf("pull request %d %s: %s", e.Number, e.Action, e.PullRequest.Title))
	}, retry)
	return n
}

// notify publishes before it sends, the wrong way round on purpose: what a handler
// publishes goes out if it succeeds, so that a mail which wasn't sent is never told
// of.
func (n *notifier) notify(ctx context.Context, r Repository, text string) error {
	if err := n.b.Publish(ctx, Notification{Repository: r.FullName, Text: text}); err != nil {
		return err
	}
	info, _ := event.FromContext(ctx)
	n.order.see(info)
	return send(info)
}

var errBusy = errors.New("mail server busy")

// send fails as often as failuresOf says.
func send(info event.Info) error {
	if info.Failures < failuresOf(info.Event.ID()) {
		return errBusy
	}
	return nil
}

// failuresOf says how often the notification about an event fails: one of five
// fails, and some of those twice. It is always the same ones.
func failuresOf(id string) int {
	h := fnv.New32a()
	h.Write([]byte(id))
	switch h.Sum32() % 20 {
	case 0:
		return 2
	case 1, 2, 3:
		return 1
	default:
		return 0
	}
}
