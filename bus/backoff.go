package bus

import (
	"errors"
	"math/rand/v2"
	"time"
)

// Backoff says when a failed event is tried again. The n-th wait is a random time
// up to First·2ⁿ⁻¹, at most Max ("full jitter"), so that many failures don't come
// back at once: it follows from the event and the group. Zero fields have the default.
type Backoff struct {
	First    time.Duration // longest first wait; default 1 s
	Max      time.Duration // longest wait; default 5 min, at most half of [event.Guarantees].MaxHold, or First if that is longer
	Attempts int           // failures after which the event is a dead letter; default 10
}

const (
	defaultFirst    = time.Second
	defaultMax      = 5 * time.Minute
	defaultAttempts = 10
)

func (r Backoff) withDefaults() Backoff {
	if r.First == 0 {
		r.First = defaultFirst
	}
	if r.Max == 0 {
		r.Max = max(defaultMax, r.First)
	}
	if r.Attempts == 0 {
		r.Attempts = defaultAttempts
	}
	return r
}

func (r Backoff) check() error {
	switch {
	case r.First < 0:
		return errors.New("Retry: First is negative")
	case r.Max < 0:
		return errors.New("Retry: Max is negative")
	case r.Attempts < 0:
		return errors.New("Retry: Attempts is negative; BlockKey never gives up")
	case r.Max != 0 && r.First > r.Max:
		return errors.New("Retry: First is longer than Max")
	}
	return nil
}

// jitter returns a time up to limit, of what has this chance, for the n-th wait.
type jitter func(limit time.Duration, n int, chance uint64) time.Duration

func fullJitter(limit time.Duration, n int, chance uint64) time.Duration {
	return time.Duration(rand.New(rand.NewPCG(chance, uint64(n))).Int64N(int64(limit))) + 1
}

// noJitter is for those who need the longest waits each time.
func noJitter(limit time.Duration, _ int, _ uint64) time.Duration { return limit }

// wait returns the wait after the n-th failure, n from 1, of what has this chance.
func (r Backoff) wait(n int, spread jitter, chance uint64) time.Duration {
	limit := r.First
	for i := 1; i < n && limit < r.Max; i++ {
		if limit > r.Max/2 { // twice that may be more than can be said
			limit = r.Max
			break
		}
		limit *= 2
	}
	return spread(min(limit, r.Max), n, chance)
}

// brief is the backoff of what is no failure of a handler: a full channel, a
// broker that is away.
var brief = Backoff{First: 2 * time.Millisecond, Max: time.Second}
