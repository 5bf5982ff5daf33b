package request

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/leat-go/leat/event"
)

// ErrNoHandler is returned for what nobody has ever handled: no group exists that would be
// owed it.
var ErrNoHandler = errors.New("request: nobody handles it")

// handled is a group that was seen on a topic. It stays: groups outlive their members.
type handled struct{ group, topic string }

// CheckHandler returns [ErrNoHandler] when a group doesn't exist on a topic. Where the
// channel doesn't know its groups ([event.Census]), it makes the group, so that what is sent
// waits for its first member; where it can't do that either, it trusts the caller.
func (r *Requests) CheckHandler(ctx context.Context, group, topic string) error {
	key := handled{group, topic}
	if r.style.Kept(key) != nil {
		return nil
	}
	if err := r.look(ctx, group, topic); err != nil {
		return err
	}
	r.style.Keep(key, true)
	return nil
}

func (r *Requests) look(ctx context.Context, group, topic string) error {
	ch := r.style.Channel()
	if census, ok := ch.(event.Census); ok {
		groups, err := census.Groups(ctx, topic)
		if err != nil {
			return fmt.Errorf("request: the groups of topic %q: %w", topic, err)
		}
		if !slices.ContainsFunc(groups, func(g event.GroupInfo) bool { return g.Group == group }) {
			return fmt.Errorf("%w: there is no group %q on topic %q", ErrNoHandler, group, topic)
		}
		return nil
	}
	provisioner, ok := ch.(event.Provisioner)
	if !ok {
		return nil
	}
	if err := provisioner.EnsureTopic(ctx, event.TopicSpec{Name: topic}); err != nil {
		return fmt.Errorf("request: topic %q: %w", topic, err)
	}
	if err := provisioner.EnsureGroup(ctx, group, event.Start{}, topic); err != nil {
		return fmt.Errorf("request: group %q on topic %q: %w", group, topic, err)
	}
	return nil
}
