package killtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Campaign kills workers, each of which is replaced at once, until it has killed enough:
// every other one at the points, in turn, the others at random.
type Campaign struct {
	Kills   int // in all
	Workers int // at a time
	Points  []Plan
	// Start starts a worker in a place. Each has another number.
	Start func(place, number int, plan Plan) (*Process, error)

	mu    sync.Mutex
	begun int
	now   Casualties
}

// Casualties are the workers that were killed, how many at which point, and AtRandom.
type Casualties map[string]int

// AtRandom is the point of those who were killed at any time.
const AtRandom = "at random"

const (
	patience   = 20 * time.Second // until a worker comes to its point
	startUp    = 400 * time.Millisecond
	whileWorks = 300 * time.Millisecond
)

// Run runs the campaign.
func (c *Campaign) Run(ctx context.Context) (Casualties, error) {
	c.now = make(Casualties)
	errs := make([]error, c.Workers)
	var all sync.WaitGroup
	for place := range c.Workers {
		all.Go(func() {
			for errs[place] == nil && ctx.Err() == nil {
				number, plan, more := c.next()
				if !more {
					return
				}
				errs[place] = c.kill(ctx, place, number, plan)
			}
		})
	}
	all.Wait()
	return c.now, errors.Join(errors.Join(errs...), ctx.Err())
}

// next returns the number of the next worker, and where it is to die.
func (c *Campaign) next() (number int, plan Plan, more bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun == c.Kills {
		return 0, plan, false
	}
	number = c.begun
	c.begun++
	if number%2 == 0 {
		plan = c.Points[number/2%len(c.Points)]
		plan.Pass = 1 + rand.Int64N(10)
	}
	return number, plan, true
}

// kill starts a worker and lets it die.
func (c *Campaign) kill(ctx context.Context, place, number int, plan Plan) error {
	p, err := c.Start(place, number, plan)
	if err != nil {
		return err
	}
	defer p.Kill()
	point := plan.Point
	if point == "" {
		point = AtRandom
		err = atRandom(ctx, p)
	} else {
		err = await(ctx, p, p.Ended(), patience)
	}
	if errors.Is(err, errNever) { // others took all that there was to do
		point, err = AtRandom, nil
	}
	if err != nil {
		return fmt.Errorf("worker %d, %s: %w", number, point, err)
	}
	p.Kill()
	if !p.Killed() {
		return fmt.Errorf("worker %d, %s: it ended by itself", number, point)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now[point]++
	return nil
}

// atRandom waits for a moment that may be anywhere in the life of a worker: one in four
// dies while it starts.
func atRandom(ctx context.Context, p *Process) error {
	if rand.N(4) == 0 {
		return ignore(await(ctx, p, nil, rand.N(startUp)))
	}
	if err := await(ctx, p, p.Working(), patience); err != nil {
		return err
	}
	return ignore(await(ctx, p, nil, rand.N(whileWorks)))
}

var errNever = errors.New("it had nothing to do")

func ignore(err error) error {
	if errors.Is(err, errNever) {
		return nil
	}
	return err
}

// await waits for what a worker comes to.
func await(ctx context.Context, p *Process, what <-chan struct{}, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-what:
		return nil
	case <-p.Ended():
		if what == p.Ended() {
			return nil
		}
		return errors.New("it ended by itself")
	case <-timer.C:
		return errNever
	case <-ctx.Done():
		return ctx.Err()
	}
}
