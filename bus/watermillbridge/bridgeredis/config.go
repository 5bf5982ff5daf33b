package bridgeredis

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// Config says which servers to use and how. Only Redis.Addrs is required.
type Config struct {
	// Redis is how to reach a server, a cluster, or one that sentinels know. PoolSize is
	// raised, since each subscription holds a connection while it waits, and
	// MaxActiveConns is refused. Replicas are not read.
	Redis         redis.UniversalOptions
	Subscriptions int // of a member on each topic: how many events it handles at once; 0: 8
	// MaxHold is how long a delivery can be in hand, waits for retries included; 0: 1 min.
	// What a vanished member had comes again after as long, and up to 10 s. All members
	// of a group must agree.
	MaxHold time.Duration
	// MaxBytes is the largest string that the servers take, proto-max-bulk-len of their
	// configuration; 0: 512 MiB, which is Redis's default.
	MaxBytes int
	// Retention is how long events are kept at least; what is older goes once all groups
	// that the topic has have settled it, and nothing while it has none. 0: for ever, until the server's memory is full
	// or somebody else trims.
	Retention time.Duration
}

const (
	defaultSubscriptions = 8
	defaultMaxHold       = time.Minute
	defaultMaxBytes      = 512 << 20 // proto-max-bulk-len in redis.conf
	letterRoom           = 16 << 10  // of what a dead letter carries besides its event
	minPool              = 1024
	blockTime            = 500 * time.Millisecond // how long a read waits, and Close for it
	longestClaimInterval = 5 * time.Second
)

func (c Config) withDefaults() (Config, error) {
	var errs []error
	if len(c.Redis.Addrs) == 0 {
		errs = append(errs, errors.New("bridgeredis: Config.Redis.Addrs is empty"))
	}
	if c.Redis.MaxActiveConns != 0 {
		errs = append(errs, errors.New("bridgeredis: Config.Redis.MaxActiveConns: each subscription holds a connection while it waits"))
	}
	if c.Subscriptions < 0 || c.MaxHold < 0 || c.MaxBytes < 0 || c.Retention < 0 {
		errs = append(errs, errors.New("bridgeredis: Config: Subscriptions, MaxHold, MaxBytes and Retention can't be negative"))
	}
	if c.Subscriptions == 0 {
		c.Subscriptions = defaultSubscriptions
	}
	if c.MaxHold == 0 {
		c.MaxHold = defaultMaxHold
	}
	if c.MaxHold < time.Second {
		errs = append(errs, fmt.Errorf("bridgeredis: Config.MaxHold is %v: at least a second is needed", c.MaxHold))
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = defaultMaxBytes
	}
	if c.MaxBytes <= letterRoom {
		errs = append(errs, fmt.Errorf("bridgeredis: Config.MaxBytes is %d: %d are for what a dead letter carries", c.MaxBytes, letterRoom))
	}
	c.Redis.PoolSize = max(c.Redis.PoolSize, minPool)
	c.Redis.ReadOnly, c.Redis.RouteByLatency, c.Redis.RouteRandomly = false, false, false
	return c, errors.Join(errs...)
}

// claimInterval is how often a subscription looks for what vanished members had.
func (c Config) claimInterval() time.Duration { return min(c.MaxHold/4, longestClaimInterval) }

// maxIdle is after which time a message is taken to be a vanished member's: longer than
// a living one has it in hand.
func (c Config) maxIdle() time.Duration { return c.MaxHold + c.claimInterval() }

// lease is after which time a vanished member's messages are another's.
func (c Config) lease() time.Duration { return c.maxIdle() + c.claimInterval() }
