package memory

import (
	"context"
	"errors"

	"github.com/leat-go/leat/event"
)

// producer appends to one topic.
type producer struct {
	t *topic
}

var (
	_ event.Producer         = producer{}
	_ event.PositionProducer = producer{}
)

// Produce implements [event.Producer].
func (p producer) Produce(ctx context.Context, events ...event.Event) error {
	return p.t.publish(ctx, &batch{events: events})
}

// ProduceAt implements [event.PositionProducer].
func (p producer) ProduceAt(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	positions := make([]event.Position, len(events))
	err := p.t.publish(ctx, &batch{events: events, positions: positions})
	return positions, err
}

// publish validates events and appends them.
func (t *topic) publish(ctx context.Context, b *batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.c.faults != nil {
		return t.publishFaulty(ctx, b)
	}
	return t.publishWell(ctx, b)
}

func (t *topic) publishWell(ctx context.Context, b *batch) error {
	if len(b.events) == 0 {
		return t.c.ifOpen()
	}
	for i := range b.events {
		if t.c.cfg.encode || b.events[i].Validate() != nil {
			return t.publishChecked(ctx, b)
		}
	}
	done, err := t.produce(ctx, b)
	if err == nil {
		return nil
	}
	return refusal(b.events, nil, done, err)
}

// refusal returns the error for the events from done on. index tells where they
// stood in the call; nil: where they stand now.
func refusal(events []event.Event, index []int, done int, err error) error {
	if done == 0 && index == nil && !errors.Is(err, event.ErrTooLarge) {
		return err
	}
	e := new(event.ProduceError)
	for i := done; i < len(events); i++ {
		at := i
		if index != nil {
			at = index[i]
		}
		e.Failed = append(e.Failed, event.ProduceFailure{Index: at, ID: events[i].ID(), Err: err})
	}
	return e
}

// publishChecked leaves out what is refused for good, and appends the rest.
func (t *topic) publishChecked(ctx context.Context, b *batch) error {
	good, index, bad := t.c.check(b.events)
	if len(good) == 0 {
		return merge(bad, t.c.ifOpen())
	}
	rest := *b
	rest.events = good
	if b.positions != nil {
		rest.positions = make([]event.Position, len(good))
	}
	done, err := t.produce(ctx, &rest)
	for i, p := range rest.positions {
		b.positions[index[i]] = p
	}
	if len(bad) == 0 {
		index = nil
	}
	if err != nil {
		err = refusal(good, index, done, err)
	}
	if len(bad) == 0 {
		return err
	}
	return merge(bad, err)
}

// merge adds refusals for good to those of the rest, in the order of the call.
func merge(bad []event.ProduceFailure, err error) error {
	var rest *event.ProduceError
	if err != nil && !errors.As(err, &rest) {
		return err // closed
	}
	e := new(event.ProduceError)
	var more []event.ProduceFailure
	if rest != nil {
		more = rest.Failed
	}
	for len(bad) > 0 || len(more) > 0 {
		if len(more) == 0 || len(bad) > 0 && bad[0].Index < more[0].Index {
			e.Failed = append(e.Failed, bad[0])
			bad = bad[1:]
			continue
		}
		e.Failed = append(e.Failed, more[0])
		more = more[1:]
	}
	return e
}

// check sorts events into those that can be accepted, with where they stood, and
// those that are refused for good.
func (c *Channel) check(events []event.Event) (good []event.Event, index []int, bad []event.ProduceFailure) {
	for i, e := range events {
		checked, err := c.checkOne(e)
		if err != nil {
			bad = append(bad, event.ProduceFailure{Index: i, ID: e.ID(), Err: err})
			continue
		}
		good = append(good, checked)
		index = append(index, i)
	}
	return good, index, bad
}

// checkOne validates an event and lets it make the round trip that [Encode] asks for.
func (c *Channel) checkOne(e event.Event) (event.Event, error) {
	if err := e.Validate(); err != nil || !c.cfg.encode {
		return e, err
	}
	return roundTrip(e)
}

// roundTrip encodes and decodes an event.
func roundTrip(e event.Event) (event.Event, error) {
	b, err := event.AppendJSON(nil, e)
	if err != nil {
		return e, err
	}
	return event.ParseJSON(b)
}
