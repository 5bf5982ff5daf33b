package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// group is what the Bus runs for one group: a fetcher that receives, workers that
// run handlers, and a keeper that settles and wakes what waits. They share the
// items in hand under mu, which is held for list work only. The fetcher and a worker may
// change places.
type group struct {
	b        *Bus
	name     string
	wire     string // the name that the channel knows
	handlers map[string]*handler
	rest     map[string]*handler // by topic: for types without a handler
	list     []*handler          // all, in the order of subscription
	topics   []string            // once prepared

	said      groupOptions
	workers   int
	limit     int // of the window
	unordered bool
	strict    bool

	jitter   jitter // of the waits
	consumer event.Consumer
	gives    event.Guarantees // the weakest of the topics
	kept     *failureTable    // when the channel doesn't keep failures

	wake  chan struct{} // a worker may have work
	kick  chan struct{} // the keeper may have work
	fetch chan struct{} // the fetcher may go on
	empty chan struct{} // closed when nothing is in hand any more, after closing

	live     atomic.Bool      // it was started: what prepare set doesn't change any more
	running  sync.WaitGroup   // the goroutines
	fetched  chan struct{}    // closed when the fetcher ended
	received []event.Delivery // the fetcher's
	ctx      context.Context
	cancel   context.CancelFunc // of what the goroutines do, at the very end

	mu         sync.Mutex
	all        []*item // every item made so far
	free       *item
	ready      queue
	keys       keyTable
	held       heldHeap
	gatherings []*gathering // of the batch handlers
	pending    []*item      // decided, to be settled
	settling   int          // of these, taken by the keeper: room may come of them
	inHand     int
	aside      int  // of these, held for want of room, and behind such
	window     int  // most in hand now
	idle       int  // workers without work
	vacant     bool // the fetcher works: a worker who has nothing to do becomes the fetcher
	starved    bool // a worker ran out of work since the last Receive
	waiting    bool
	stalled    StallReason
	warned     map[StallReason]time.Time
	paused     bool
	hurries    bool // a Drain waits: batches hardly wait for more
	closing    bool
	stopped    bool
	receives   context.Context    //nolint:containedctx // of the Receive that runs, and of the next ones
	receive    context.CancelFunc // ends it
	receiving  problem            // what kept the engine from receiving
	unsettled  error              // what keeps settlements from the channel
	taken      int32              // deliveries so far; it wraps around

	latest     *handler // of handlers, by type
	latestType string
}

func newGroup(b *Bus, name string) *group {
	return &group{
		b:        b,
		name:     name,
		wire:     b.wireName(name),
		handlers: make(map[string]*handler),
		rest:     make(map[string]*handler),
		warned:   make(map[StallReason]time.Time),
		jitter:   fullJitter,
	}
}

// wireName returns the name of a group that the channel knows.
func (b *Bus) wireName(group string) string {
	if b.cfg.App == "" {
		return group
	}
	return b.cfg.App + "." + group
}

// add puts a handler into the group and returns what is wrong with that.
func (g *group) add(types []string, fn event.Handler, s subscription) []error {
	h := &handler{g: g, base: fn, types: types, opts: s, retry: s.retry.withDefaults()}
	errs := g.said.merge(s.group)
	g.list = append(g.list, h)
	if len(types) == 0 {
		h.name = g.name + "/*"
		for _, topic := range s.topics {
			if g.rest[topic] != nil {
				errs = append(errs, fmt.Errorf("two raw handlers for all types of topic %q: use another group", topic))
			}
			g.rest[topic] = h
		}
		return errs
	}
	h.name = g.name + "/" + types[0]
	for _, typ := range types {
		if g.handlers[typ] != nil {
			errs = append(errs, fmt.Errorf("two handlers for %q: one handler for each type of a group, use another group", typ))
		}
		g.handlers[typ] = h
	}
	return errs
}

// handlerFor returns who handles a delivery, or nil. Most are of the same type as
// the one before. mu is held.
func (g *group) handlerFor(d *event.Delivery) *handler {
	typ := d.Event.Type()
	if g.latest != nil && typ == g.latestType {
		return g.latest
	}
	h := g.handlers[typ]
	if h == nil {
		return g.rest[d.Topic]
	}
	g.latest, g.latestType = h, typ
	return h
}

func (o *groupOptions) merge(n groupOptions) []error {
	var errs []error
	errs = agree(errs, "Workers", &o.workers, n.workers)
	errs = agree(errs, "InFlight", &o.inFlight, n.inFlight)
	errs = agree(errs, "From", &o.from, n.from)
	errs = agree(errs, "Strict", &o.strict, n.strict)
	errs = agree(errs, "AcrossApps", &o.acrossApps, n.acrossApps)
	errs = agree(errs, "Callable", &o.callable, n.callable)
	return agree(errs, "Unordered", &o.unordered, n.unordered)
}

func agree[T comparable](errs []error, name string, have **T, say *T) []error {
	switch {
	case say == nil:
	case *have == nil:
		*have = say
	case **have != *say:
		return append(errs, fmt.Errorf("%s belongs to the group, and two subscriptions say %v and %v", name, **have, *say))
	}
	return errs
}

// maxInFlight is the default bound of the window.
const maxInFlight = 512

// prepare fixes the options before the start.
func (g *group) prepare() {
	g.workers, g.limit = 1, maxInFlight
	if g.said.workers != nil {
		g.workers = *g.said.workers
	}
	g.limit = max(g.limit, g.workers)
	if g.said.inFlight != nil {
		g.limit = *g.said.inFlight
		g.workers = min(g.workers, g.limit)
	}
	g.strict = g.said.strict != nil
	g.unordered = g.said.unordered != nil
	if g.said.acrossApps != nil {
		g.wire = g.name
	}
	g.window = g.workers // slow start, so that one member does not hoard
	g.prepareBatches()
	g.wake = make(chan struct{}, 1)
	g.kick = make(chan struct{}, 1)
	g.fetch = make(chan struct{}, 1)
	g.empty = make(chan struct{})
	g.fetched = make(chan struct{})
	g.topics = nil
	for _, h := range g.list {
		g.join(h)
	}
	g.spreadRest()
}

// spreadRest gives the handler of [Style.Rest] the topics that nobody has the rest of.
func (g *group) spreadRest() {
	for _, h := range g.list {
		if len(h.types) > 0 || len(h.opts.topics) > 0 {
			continue
		}
		for _, topic := range g.topics {
			if g.rest[topic] == nil {
				g.rest[topic] = h
			}
		}
	}
}

// wrap wraps the handlers, once, when nothing is wrong with what is put around them.
func (g *group) wrap() {
	for _, h := range g.list {
		if h.fn == nil && h.batchFn == nil {
			h.wrap(g.b.cfg.Middleware)
		}
	}
}

// join adds a handler's topics: those that it says, else those of its types, which
// are known only when all subscriptions are.
func (g *group) join(h *handler) {
	for _, topic := range g.topicsOf(h) {
		if !slices.Contains(g.topics, topic) {
			g.topics = append(g.topics, topic)
		}
	}
}

func (g *group) topicsOf(h *handler) []string {
	topics := h.opts.topics
	if len(topics) == 0 {
		for _, typ := range h.types {
			topics = append(topics, g.b.topicOf(typ))
		}
	}
	return topics
}

func (g *group) subscription() event.Subscription {
	s := event.Subscription{
		Group:       g.wire,
		Topics:      g.topics,
		InFlight:    g.limit,
		Grace:       g.b.cfg.CancelGrace,
		CancelGrace: g.b.cfg.CancelGrace,
		OnError:     g.onError,
		OnLost:      g.onLost,
	}
	if g.said.from != nil {
		s.From = *g.said.from
	}
	if len(g.rest) == 0 && !g.strict {
		for typ := range g.handlers {
			s.Types = append(s.Types, typ)
		}
		slices.Sort(s.Types)
	}
	return s
}

// run starts the goroutines.
func (g *group) run() {
	g.equip(keyBuckets)
	g.received = make([]event.Delivery, g.limit)
	g.running.Go(func() { g.workLoop(worker{g: g, fetches: true}, nil, actNone) })
	g.running.Go(g.keepLoop)
	for range g.workers {
		g.running.Go(func() { g.workLoop(worker{g: g}, nil, actNone) })
	}
}

// equip makes what a group that runs has.
func (g *group) equip(buckets int) {
	g.keys.buckets = make([]*item, buckets)
	g.ctx, g.cancel = context.WithCancel(g.ctx)
	g.live.Store(true)
	if !g.gives.KeepsFailures {
		g.kept = newFailureTable()
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // a token is there already
	}
}

func (g *group) pause(paused bool) {
	g.mu.Lock()
	g.paused = paused
	cancel := g.receive
	g.mu.Unlock()
	if paused && cancel != nil {
		cancel()
	}
	signal(g.fetch)
}

// onError takes a transient error that the engine retries.
func (g *group) onError(err error) {
	g.b.log.Warn("bus: channel", "group", g.wire, "error", err)
	g.mu.Lock()
	g.receiving = problem{err, time.Now()}
	g.mu.Unlock()
}

// trouble returns why the group is not ready, or nil.
func (g *group) trouble() error {
	g.mu.Lock()
	err := g.problem()
	g.mu.Unlock()
	if err = errors.Join(err, g.unready()); err == nil {
		return nil
	}
	return fmt.Errorf("bus: group %q: %w", g.name, err)
}

// unready returns what the middlewares of its handlers lack, or nil.
func (g *group) unready() error {
	var errs []error
	for _, h := range g.list {
		for _, m := range slices.Concat(h.opts.outside, g.b.cfg.Middleware, h.opts.middleware, g.b.cfg.Inner) {
			if checker, ok := m.(event.ReadyChecker); ok {
				if err := checker.Ready(); err != nil {
					errs = append(errs, fmt.Errorf("handler %q: %w", h.name, err))
				}
			}
		}
	}
	return errors.Join(errs...)
}

// problem returns what keeps the group from the channel, or nil. mu is held.
func (g *group) problem() error {
	if g.unsettled != nil {
		return g.unsettled
	}
	return g.receiving.current()
}

// problem is an error that the engine told, and when it did.
type problem struct {
	err error
	at  time.Time
}

// troubleLasts is how long after an error of the engine, which goes on trying, a
// group without deliveries counts as not ready.
const troubleLasts = 30 * time.Second

// current returns the error as long as it says something about now.
func (p problem) current() error {
	if errors.Is(p.err, event.ErrClosed) || time.Since(p.at) < troubleLasts {
		return p.err
	}
	return nil
}

// warnEvery is how often the log tells at most that a group waits for one reason.
const warnEvery = time.Minute

// stall notes why the group waits, and tells it when that is new: it was not so, or
// something was settled since.
func (g *group) stall(why StallReason, err error) {
	g.mu.Lock()
	news := g.stalled != why
	g.stalled = why
	warn := news && time.Since(g.warned[why]) >= warnEvery
	if warn {
		g.warned[why] = time.Now()
	}
	g.mu.Unlock()
	if !news {
		return
	}
	if warn && why == StallBefore { // the error is the application's
		g.b.log.Warn("bus: group waits", "group", g.wire, "reason", string(why))
	} else if warn {
		g.b.log.Warn("bus: group waits", "group", g.wire, "reason", string(why), "error", err)
	}
	g.b.hooks.stalled(Stall{Group: g.name, Reason: why, Err: err})
}

// onLost takes deliveries that went to another member. Those that are held would
// keep their place in the window; the others are dropped when they are begun.
func (g *group) onLost(tokens []event.Token) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, it := range g.all {
		if it.heapIndex > 0 && !g.isBehind(it) && slices.Contains(tokens, it.d.Token) {
			g.unhold(it)
			g.remember(it)
			g.complete(it)
		}
	}
}

// errStuck is what Shutdown returns when handlers don't end.
var errStuck = errors.New("handlers still run")
