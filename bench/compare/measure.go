package main

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/leat-go/leat/bench"
)

// samples are what was measured of one side, one for each round.
type samples struct {
	seconds []float64
	allocs  []float64 // per event
}

// measure lets the sides of a scenario take turns.
func measure(s bench.Scenario, rounds, events int) ([]samples, error) {
	all := make([]samples, len(s.Sides))
	for range rounds {
		for i, side := range s.Sides {
			if err := all[i].add(side, events); err != nil {
				return nil, fmt.Errorf("%s: %w", side.Name, err)
			}
		}
	}
	return all, nil
}

// add measures a side once: opened anew and warmed up by a tenth of the events,
// with the garbage of those before collected.
func (s *samples) add(side bench.Side, events int) error {
	stream, err := side.Open()
	if err != nil {
		return err
	}
	if err := warmUp(stream, max(events/10, 1)); err != nil {
		return errors.Join(err, stream.Close())
	}
	if err := prepare(stream, events); err != nil {
		return errors.Join(err, stream.Close())
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	err = stream.Run(events)
	took := time.Since(start)
	if stream.Measured != nil {
		took = stream.Measured()
	}
	runtime.ReadMemStats(&after)
	s.seconds = append(s.seconds, took.Seconds())
	s.allocs = append(s.allocs, float64(after.Mallocs-before.Mallocs)/float64(events))
	return errors.Join(err, stream.Close())
}

func prepare(s *bench.Stream, events int) error {
	if s.Prepare == nil {
		return nil
	}
	return s.Prepare(events)
}

// warmUp runs a stream once.
func warmUp(s *bench.Stream, events int) error {
	if err := prepare(s, events); err != nil {
		return err
	}
	return s.Run(events)
}
