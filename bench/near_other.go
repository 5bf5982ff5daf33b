//go:build !linux

package bench

import "time"

// alarm waits as exactly as Go's timers do.
type alarm struct{}

func newAlarm() (*alarm, error) { return &alarm{}, nil }

func (*alarm) wait(d time.Duration) { <-time.After(d) }

func (*alarm) close() {}
