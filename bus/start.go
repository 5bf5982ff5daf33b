package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/leat-go/leat/event"
)

// Start checks everything, opens all consumers, and lets the handlers run. Its
// error lists every mistake in the set-up at once; then nothing runs, and Start
// may be called again when what was wrong lay outside. When it returned nil, all
// groups exist: what is published from now on reaches them. ctx bounds the start
// alone.
func (b *Bus) Start(ctx context.Context) error { return b.startWith(ctx, (*group).run) }

// startWith starts, and lets the groups run as run says.
func (b *Bus) startWith(ctx context.Context, run func(*group)) error {
	if !b.state.CompareAndSwap(int32(stateNew), int32(stateStarting)) {
		if b.is() == stateClosed {
			return event.ErrClosed
		}
		return errors.New("bus: started already")
	}
	ctx, abort := context.WithCancel(ctx)
	defer abort()
	s := &starting{done: make(chan struct{}), abort: abort}
	defer close(s.done)
	defer b.state.CompareAndSwap(int32(stateStarting), int32(stateNew)) // if a middleware panics
	b.mu.Lock()
	b.starting = s
	b.mu.Unlock()
	if err := b.start(ctx); err != nil {
		if !b.state.CompareAndSwap(int32(stateStarting), int32(stateNew)) || s.aborted.Load() {
			err = fmt.Errorf("%w: %w", event.ErrClosed, err)
		}
		return fmt.Errorf("bus: start: %w", err)
	}
	if !b.state.CompareAndSwap(int32(stateStarting), int32(stateStarted)) { // a Shutdown did not wait any longer
		b.stop()
		b.abandon(ctx, b.started())
		return fmt.Errorf("bus: start: %w", event.ErrClosed)
	}
	for _, g := range b.started() {
		run(g)
	}
	return nil
}

// starting is a Start that runs or has ended.
type starting struct {
	done    chan struct{}
	abort   context.CancelFunc
	aborted atomic.Bool // by a Shutdown
}

// Run starts the Bus, serves until ctx ends, and shuts down in order, within
// Config.ShutdownTimeout. It returns nil when ctx ended and all went well. The error
// of a start that failed, also because ctx ended meanwhile, is that of [Bus.Start]:
// nothing runs then, and the channel is still open.
func (b *Bus) Run(ctx context.Context) error {
	if err := b.Start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.ShutdownTimeout)
	defer cancel()
	return b.Shutdown(ctx)
}

func (b *Bus) start(ctx context.Context) error {
	errs := append(b.configMistakes(), b.checkPublished(ctx)...)
	groups := b.started()
	for _, g := range groups {
		g.prepare()
		errs = append(errs, g.check(ctx)...)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, g := range groups {
		g.wrap()
	}
	if b.none {
		b.mu.Lock()
		b.groups, b.stop = nil, func() {} // there is nothing to be started: they are called by name
		b.mu.Unlock()
		return nil
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	abandon := context.AfterFunc(ctx, stop) // ctx bounds the opening of the consumers
	err := b.open(life, groups)
	if err == nil && !abandon() {
		err = context.Cause(ctx)
	}
	if err != nil {
		stop()
		b.abandon(ctx, groups)
		return err
	}
	b.mu.Lock()
	b.stop = stop
	b.mu.Unlock()
	return nil
}

// open opens a consumer for each group, all before any of them receives.
func (b *Bus) open(life context.Context, groups []*group) error {
	var errs []error
	for _, g := range groups {
		c, err := b.cfg.Channel.Consumer(life, g.subscription())
		if err != nil {
			errs = append(errs, fmt.Errorf("group %q: %w", g.name, err))
			continue
		}
		g.consumer, g.ctx = c, life
	}
	return errors.Join(errs...)
}

// abandon closes the consumers of a start that failed.
func (b *Bus) abandon(ctx context.Context, groups []*group) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.cfg.CancelGrace)
	defer cancel()
	for _, g := range groups {
		if g.consumer == nil {
			continue
		}
		if err := g.consumer.Close(ctx); err != nil {
			b.log.Warn("bus: close after a failed start", "group", g.wire, "error", err)
		}
		g.consumer = nil
	}
}

func (b *Bus) configMistakes() []error {
	b.mu.Lock()
	errs := slices.Clone(b.mistakes)
	b.mu.Unlock()
	if b.none && !b.callsOnly() {
		errs = append(errs, errors.New("Config.Channel is nil"))
	}
	if b.cfg.App != "" {
		errs = append(errs, checkName("App", b.cfg.App))
		if strings.Contains(b.cfg.App, ".") {
			errs = append(errs, fmt.Errorf("Config.App %q: '.' separates the App from the group", b.cfg.App))
		}
	}
	if slices.Contains(b.cfg.Inner, nil) {
		errs = append(errs, errors.New("Config.Inner has a nil middleware"))
	}
	if slices.Contains(b.cfg.Middleware, nil) {
		errs = append(errs, errors.New("Config.Middleware has a nil middleware"))
	}
	if slices.ContainsFunc(b.cfg.Transforms, func(t event.Transform) bool { return t == nil }) {
		errs = append(errs, errors.New("Config.Transforms has a nil transform"))
	}
	for _, v := range b.hooks.unknown {
		errs = append(errs, fmt.Errorf("Config.Hooks: %T implements no hook", v))
	}
	return errs
}

// check asks the channel what it promises the group and returns what does not fit.
func (g *group) check(ctx context.Context) []error {
	var errs []error
	for i, topic := range g.topics {
		if err := checkName("topic", topic); err != nil {
			errs = append(errs, fmt.Errorf("group %q: %w", g.name, err))
			continue
		}
		gives, err := g.b.cfg.Channel.Guarantees(ctx, topic, g.wire)
		if err != nil {
			errs = append(errs, fmt.Errorf("group %q: topic %q: %w", g.name, topic, err))
			continue
		}
		errs = append(errs, g.checkTopic(topic, gives)...)
		if i == 0 {
			g.gives = gives
		} else {
			g.gives = weaker(g.gives, gives)
		}
	}
	g.fitRetries()
	return slices.Concat(errs, g.checkBatches(), g.checkMiddleware())
}

func (g *group) checkTopic(topic string, gives event.Guarantees) []error {
	var errs []error
	if gives.Durable && g.b.cfg.App == "" {
		errs = append(errs, fmt.Errorf("group %q: Config.App is empty: %s needs the application's name", g.name, gives.Channel))
	}
	from := g.said.from
	if from != nil && (from.Kind == event.StartOldest || from.Kind == event.StartSince) && !gives.History {
		errs = append(errs, fmt.Errorf("group %q: topic %q: From: %w (%s)", g.name, topic, event.ErrNoHistory, gives.Channel))
	}
	errs = append(errs, g.checkPark(topic, gives)...)
	errs = append(errs, g.checkHold(topic, gives)...)
	return append(errs, g.checkRequired(topic, gives)...)
}

// checkMiddleware asks the middlewares of every handler.
func (g *group) checkMiddleware() []error {
	var errs []error
	s := g.subscription()
	for _, h := range g.list {
		for _, m := range slices.Concat(h.opts.outside, g.b.cfg.Middleware, h.opts.middleware, g.b.cfg.Inner) {
			if _, ok := m.(event.BatchMiddleware); !ok && h.opts.batchOf != nil && m != nil {
				errs = append(errs, fmt.Errorf("handler %q: middleware %T is no event.BatchMiddleware", h.name, m))
			}
			checker, ok := m.(event.StartChecker)
			if !ok {
				continue
			}
			if err := checker.CheckStart(s, g.gives); err != nil {
				errs = append(errs, fmt.Errorf("handler %q: %w", h.name, err))
			}
		}
	}
	return errs
}

// weaker returns the promises, of those that the Bus relies on, that hold for both.
func weaker(a, b event.Guarantees) event.Guarantees {
	a.OrderPerKey = a.OrderPerKey && b.OrderPerKey
	a.Durable = a.Durable && b.Durable
	a.History = a.History && b.History
	a.GivesBack = a.GivesBack && b.GivesBack
	a.SettlesAtOnce = a.SettlesAtOnce && b.SettlesAtOnce
	a.KeepsFailures = a.KeepsFailures && b.KeepsFailures
	a.Parks = a.Parks && b.Parks
	a.Positions = a.Positions && b.Positions
	a.CountsAttempts = a.CountsAttempts && b.CountsAttempts
	a.CountsGiveBacks = a.CountsGiveBacks || b.CountsGiveBacks
	a.MaxBytes = lower(a.MaxBytes, b.MaxBytes, 0)
	a.RedriveLimit = lower(a.RedriveLimit, b.RedriveLimit, 0)
	a.MaxDelay = lower(a.MaxDelay, b.MaxDelay, -1)
	a.MaxRetry = lower(a.MaxRetry, b.MaxRetry, -1)
	a.Lease = lower(a.Lease, b.Lease, 0)
	a.MaxHold = lower(a.MaxHold, b.MaxHold, 0)
	a.InHand = lower(a.InHand, b.InHand, 0)
	a.RedeliveryHorizon = max(a.RedeliveryHorizon, b.RedeliveryHorizon)
	a.DedupWindow = min(a.DedupWindow, b.DedupWindow)
	return a
}

// lower returns the lower of two limits, of which the value none is no limit.
func lower[T ~int | ~int64](a, b, none T) T {
	switch {
	case a == none || a < 0 && none < 0:
		return b
	case b == none || b < 0 && none < 0:
		return a
	default:
		return min(a, b)
	}
}
