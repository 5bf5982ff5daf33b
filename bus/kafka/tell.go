package kafka

import (
	"sync"
	"time"
)

// toldAgain is how often a consumer is told of an error that goes on.
const toldAgain = 10 * time.Second

// told is what a consumer was told of late.
type told struct {
	mu sync.Mutex
	at map[string]time.Time
}

// isNews reports whether text was not told of late.
func (t *told) isNews(text string) bool {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if at, known := t.at[text]; known && now.Sub(at) < toldAgain {
		return false
	}
	if t.at == nil || len(t.at) >= 128 { // rather told twice than kept for ever
		t.at = make(map[string]time.Time)
	}
	t.at[text] = now
	return true
}

// tell passes an error on that is being dealt with.
func (c *consumer) tell(err error) {
	if err == nil || c.sub.OnError == nil {
		return
	}
	if err = c.ch.doors.explain(err); c.told.isNews(err.Error()) {
		c.sub.OnError(err)
	}
}
