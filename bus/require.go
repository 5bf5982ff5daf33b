package bus

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Requirements is what an application needs of its channel and does not see when it
// subscribes: Start refuses a channel that promises less, instead of a publish or a
// failure in the middle of the night. The zero value requires nothing.
type Requirements struct {
	Durable bool          // accepted events survive the process
	Order   bool          // the events of a key are delivered in order
	History bool          // a new group can start at events accepted before
	Parking bool          // keys can be parked, see [ParkKey]
	Delay   time.Duration // Delay and At may be so far ahead
	Topics  []string      // published to; they need Durable, Order and Delay; the groups' topics need all
}

// missing returns what the guarantees of a group lack.
func (r *Requirements) missing(g event.Guarantees) []string {
	lacks := r.missingToPublish(g)
	if r.History && !g.History {
		lacks = append(lacks, "History")
	}
	if r.Parking && !g.Parks {
		lacks = append(lacks, "Parking")
	}
	return lacks
}

// missingToPublish returns what the guarantees for producing lack.
func (r *Requirements) missingToPublish(g event.Guarantees) []string {
	var lacks []string
	if r.Durable && !g.Durable {
		lacks = append(lacks, "Durable")
	}
	if r.Order && !g.OrderPerKey {
		lacks = append(lacks, "Order")
	}
	if g.MaxDelay >= 0 && g.MaxDelay < r.Delay {
		lacks = append(lacks, fmt.Sprintf("a Delay of %v (it has %v)", r.Delay, g.MaxDelay))
	}
	return lacks
}

// checkRequired returns what the channel lacks for a group on a topic.
func (g *group) checkRequired(topic string, gives event.Guarantees) []error {
	lacks := g.b.cfg.Require.missing(gives)
	if len(lacks) == 0 {
		return nil
	}
	return []error{fmt.Errorf("group %q: topic %q: Config.Require: %s lacks %s", g.name, topic, gives.Channel, strings.Join(lacks, ", "))}
}

// checkPublished returns what the channel lacks for the topics that are published to.
func (b *Bus) checkPublished(ctx context.Context) []error {
	if b.none {
		return nil
	}
	var errs []error
	for _, topic := range b.cfg.Require.Topics {
		if err := checkName("topic", topic); err != nil {
			errs = append(errs, fmt.Errorf("Config.Require.Topics: %w", err))
			continue
		}
		gives, err := b.cfg.Channel.Guarantees(ctx, topic, "")
		if err != nil {
			errs = append(errs, fmt.Errorf("topic %q: %w", topic, err))
			continue
		}
		if lacks := b.cfg.Require.missingToPublish(gives); len(lacks) > 0 {
			errs = append(errs, fmt.Errorf("topic %q: Config.Require: %s lacks %s", topic, gives.Channel, strings.Join(lacks, ", ")))
		}
	}
	return errs
}
