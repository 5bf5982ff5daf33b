package bus

import (
	"context"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/event"
)

// Config says what a Bus is made of. Only Channel is required.
type Config struct {
	Channel event.Channel // where events go and come from; without one only commands and queries can be called
	App     string        // names the application: its groups are "App.group", its events come from "/App"

	Catalog    event.Catalog            // names, topics, schemas and upcasts of messages; nil: Go types name them
	Codecs     []event.Codec            // the first is the default; empty: event.JSON
	Middleware []event.Middleware       // around every handler, outside of its own
	Inner      []event.Middleware       // around every handler, inside of its own: what the others needn't see
	Transforms []event.Transform        // on every event on its way out
	NewID      func(event.Event) string // ids of messages that no handler publishes; nil: event.NewID
	Logger     *slog.Logger             // nil: discards
	Hooks      []any                    // values that implement some of the hook interfaces of this package
	Require    Requirements             // what the channel has to promise, or Start fails

	ShutdownTimeout time.Duration // how long Run lets handlers finish; 0: 30 s
	CancelGrace     time.Duration // how long Shutdown waits after it cancelled handlers; 0: 2 s
	KeepChannel     bool          // the Channel is somebody else's: Shutdown leaves it open
}

const (
	defaultShutdownTimeout = 30 * time.Second
	defaultCancelGrace     = 2 * time.Second
)

// ErrNotStarted is returned by what needs a started Bus.
var ErrNotStarted = errors.New("bus: not started")

type state int32

const (
	stateNew state = iota
	stateStarting
	stateStarted
	stateDraining
	stateClosed
)

// Bus publishes events to a channel and hands those of the channel to typed
// handlers. All methods may be called concurrently.
type Bus struct {
	cfg    Config
	none   bool // there is no channel
	source string
	log    *slog.Logger
	hooks  hooks
	codecs map[string]event.Codec // by media type
	state  atomic.Int32

	drained atomic.Bool        // a Drain has looked for the last time
	outside context.Context    // ends when the Bus takes no more publishes from outside
	refuse  context.CancelFunc // ends it

	shutting context.Context // ends when a Shutdown begins
	shut     context.CancelFunc

	outsiders atomic.Pointer[outsiders]
	styles    registry[any, any] // what packages built on this one keep
	sibling   *Bus               // that this one was made for: see Style.Sibling

	messages  registry[reflect.Type, *message]
	names     registry[string, *message] // by event type
	producers registry[string, event.Producer]
	promises  registry[string, event.Guarantees] // to those who publish, by topic

	mu       sync.Mutex // guards what follows; never held across a call
	groups   []*group
	byName   map[string]*group
	mistakes []error
	stop     context.CancelFunc // of the consumers' context
	starting *starting          // the Start that runs, or ran last
	closing  *closing
	closers  []func(context.Context) error // of the styles
}

// New returns a Bus that is not started yet. Mistakes in the configuration are
// reported by Start, together with those of the subscriptions.
func New(c Config) *Bus {
	if c.ShutdownTimeout <= 0 {
		c.ShutdownTimeout = defaultShutdownTimeout
	}
	if c.CancelGrace <= 0 {
		c.CancelGrace = defaultCancelGrace
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	codecs := slices.DeleteFunc(slices.Clone(c.Codecs), func(codec event.Codec) bool { return codec == nil })
	missing := len(c.Codecs) - len(codecs)
	if len(codecs) == 0 {
		codecs = []event.Codec{event.JSON}
	}
	c.Codecs = codecs
	none := c.Channel == nil
	if none {
		c.Channel = nowhere{}
	}
	b := &Bus{
		cfg:    c,
		none:   none,
		source: "/" + c.App,
		log:    c.Logger,
		hooks:  sortHooks(c.Hooks),
		codecs: make(map[string]event.Codec, len(c.Codecs)),
		byName: make(map[string]*group),
	}
	b.outside, b.refuse = context.WithCancel(context.Background())
	b.shutting, b.shut = context.WithCancel(context.Background())
	for _, codec := range c.Codecs {
		b.codecs[mediaType(codec.ContentType())] = codec
	}
	if missing > 0 {
		b.mistake(errors.New("Config.Codecs has a nil codec"))
	}
	return b
}

func (b *Bus) is() state { return state(b.state.Load()) }

// Ready returns nil while the Bus is started, every group can reach the channel, and
// every middleware is ready that can say so ([event.ReadyChecker]), else an error that
// says what is wrong: for readiness probes.
func (b *Bus) Ready() error {
	switch b.is() {
	case stateStarted:
	case stateNew, stateStarting:
		return ErrNotStarted
	case stateDraining, stateClosed:
		return event.ErrClosed
	}
	var errs []error
	for _, g := range b.started() {
		if err := g.trouble(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Pause stops a group from taking more deliveries; those in hand are handled. It
// returns an error before Start and for a group that the Bus doesn't have.
func (b *Bus) Pause(group string) error { return b.pause(group, true) }

// Resume lets a paused group go on.
func (b *Bus) Resume(group string) error { return b.pause(group, false) }

func (b *Bus) pause(group string, paused bool) error {
	if s := b.is(); s == stateNew || s == stateStarting {
		return ErrNotStarted
	}
	g, err := b.group(group)
	if err != nil {
		return err
	}
	g.pause(paused)
	return nil
}

func (b *Bus) group(name string) (*group, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.byName[name]
	if g == nil {
		return nil, errors.New("bus: no group " + quote(name))
	}
	return g, nil
}

// started returns the groups; they don't change after Start.
func (b *Bus) started() []*group {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.groups
}
