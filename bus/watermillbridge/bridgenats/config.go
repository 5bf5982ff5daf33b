package bridgenats

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Config says which servers to use and how. Only URL is required.
type Config struct {
	URL string // of the servers, with commas between them
	// Options are for the connection: TLS, credentials, its name. Reconnecting for ever is
	// set behind them.
	Options []nats.Option
	// Replicas is of how many servers each stream is kept; 0: 1.
	Replicas int
	// Retention is how long streams that are made keep events, handled or not; 0: for
	// ever. The streams of a group's own keep what isn't handled.
	Retention     time.Duration
	Subscriptions int // of a member on each topic: how many events it handles at once; 0: 8, Ordered: 1
	// MaxHold is how long a delivery can be in hand, waits for retries included; 0: 1 min.
	// What a vanished member had comes again after as long, and up to 5 s. All members of
	// a group must agree.
	MaxHold time.Duration
	// Ordered keeps the order per key: a group handles one event of a topic at a time,
	// whatever its key and however many its members. All members must agree.
	Ordered bool
}

const (
	defaultSubscriptions = 8
	defaultMaxHold       = time.Minute
	letterRoom           = 16 << 10 // of what a dead letter carries besides its event
	longestSlack         = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.URL == "" {
		errs = append(errs, errors.New("bridgenats: Config.URL is empty"))
	}
	if c.Replicas < 0 || c.Retention < 0 || c.Subscriptions < 0 || c.MaxHold < 0 {
		errs = append(errs, errors.New("bridgenats: Config: Replicas, Retention, Subscriptions and MaxHold can't be negative"))
	}
	if c.Ordered && c.Subscriptions > 1 {
		errs = append(errs, fmt.Errorf("bridgenats: Config.Subscriptions is %d: Ordered handles one event at a time", c.Subscriptions))
	}
	switch {
	case c.Ordered:
		c.Subscriptions = 1
	case c.Subscriptions == 0:
		c.Subscriptions = defaultSubscriptions
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.MaxHold == 0 {
		c.MaxHold = defaultMaxHold
	}
	if c.MaxHold < time.Second {
		errs = append(errs, fmt.Errorf("bridgenats: Config.MaxHold is %v: at least a second is needed", c.MaxHold))
	}
	return c, errors.Join(errs...)
}

// ackWait is after which time the server gives a message to another: longer than it is in
// hand.
func (c Config) ackWait() time.Duration { return c.MaxHold + min(c.MaxHold/4, longestSlack) }
