package query

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

var errNilQuery = errors.New("query: a query is nil")

// changes are those that a Bus hears of.
type changes struct {
	b     *bus.Bus
	style bus.Style
	id    string // of this Bus, in what it tells

	life context.Context // ends with the Bus: the cause is event.ErrClosed
	end  context.CancelCauseFunc

	mu      sync.Mutex // never held across a call
	all     map[string]*news
	hooked  bool // Shutdown closes it
	closed  bool
	running sync.WaitGroup // of all
}

type changesKey struct{}

// changesOf returns the changes of a Bus.
func changesOf(b *bus.Bus) *changes {
	s := b.Style()
	if c, ok := s.Kept(changesKey{}).(*changes); ok {
		return c
	}
	c := &changes{b: b, style: s, id: event.NewID(), all: make(map[string]*news)}
	c.life, c.end = context.WithCancelCause(context.Background())
	return s.Keep(changesKey{}, c).(*changes)
}

// news returns that of a type of queries.
func (c *changes) news(t reflect.Type) (*news, error) {
	typ, topic, err := c.style.Message(t)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f := c.all[typ]
	if f == nil {
		f = &news{c: c, typ: typ, wire: topic + ".changed", ready: make(chan struct{}), by: make(map[string]map[string][]reader)}
		c.all[typ] = f
	}
	return f, nil
}

// hook lets Shutdown close what is open.
func (c *changes) hook() error {
	c.mu.Lock()
	hooked := c.hooked
	c.hooked = true
	closed := c.closed
	c.mu.Unlock()
	if !hooked && !c.style.OnClose(c.close) {
		c.stop()
		closed = true
	}
	if closed {
		return event.ErrClosed
	}
	return nil
}

// close ends the subscriptions, and those who watch.
func (c *changes) close(ctx context.Context) error {
	c.stop()
	done := make(chan struct{})
	go func() {
		c.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (c *changes) stop() {
	c.mu.Lock()
	c.closed = true
	all := make([]*news, 0, len(c.all))
	for _, f := range c.all {
		all = append(all, f)
	}
	c.mu.Unlock()
	c.end(event.ErrClosed)
	for _, f := range all {
		f.down()
	}
}

// start runs a news, once.
func (c *changes) start(f *news) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return event.ErrClosed
	case f.begun.Load():
		return nil
	case c.style.HasChannel():
		c.running.Go(f.run)
	}
	f.begun.Store(true)
	return nil
}

// reader returns which queries an event changes.
type reader func(event.Event) ([]key, error)

// news brings the changes of the queries of a type to those who want to know. It is
// one subscription, opened when the first wants to know, and opened again when it ends.
type news struct {
	c    *changes
	typ  string
	wire string // the topic of changes that are told

	begun atomic.Bool
	live  atomic.Bool   // nothing is missed
	ready chan struct{} // closed when it is live, or can't be for now
	first sync.Once     // closes ready

	mu        sync.Mutex
	by        map[string]map[string][]reader // what events change, by topic and type
	observers []func([]key)
	open      bool        // the subscription
	troubled  *time.Timer // nil: the engine reports nothing
}

// add adds what events of a type on a topic change.
func (f *news) add(topic, typ string, r reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by[topic] == nil {
		f.by[topic] = make(map[string][]reader)
	}
	f.by[topic][typ] = append(f.by[topic][typ], r)
}

// observe lets f be called for each change, with the keys, or nil for all. It is called
// concurrently, and must be quick.
func (f *news) observe(o func([]key)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.observers = append(f.observers, o)
}

// tell tells who observes.
func (f *news) tell(keys []key) {
	f.mu.Lock()
	observers := f.observers // which only grows
	f.mu.Unlock()
	for _, o := range observers {
		o(keys)
	}
}

// use opens the subscription, unless it is open, and doesn't wait for it.
func (f *news) use(ctx context.Context) error {
	if err := f.c.style.Accepts(ctx); err != nil {
		return err
	}
	if f.begun.Load() && f.c.life.Err() == nil {
		return nil
	}
	if err := f.c.hook(); err != nil {
		return err
	}
	if err := f.c.start(f); err != nil {
		return err
	}
	if !f.c.style.HasChannel() { // all that changes is told in this process
		f.up()
	}
	return nil
}

// Times of a subscription.
const (
	openFirst = time.Second // until it is opened again
	openMax   = 30 * time.Second
	openEach  = 30 * time.Second // how long opening it may take
	closeEach = 5 * time.Second  // how long closing it may take
	quiet     = time.Second      // without an error, until all is well again
)

// inHand is how many deliveries a subscription has in hand; they are passed on at once.
const inHand = 256

// run keeps the subscription open.
func (f *news) run() {
	for pause := openFirst; f.c.life.Err() == nil; pause = min(2*pause, openMax) {
		if f.listen() {
			pause = openFirst
		}
		f.first.Do(func() { close(f.ready) })
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-f.c.life.Done():
			timer.Stop()
		}
	}
}

// up lets answers be kept. What was asked before may have missed a change.
func (f *news) up() {
	f.tell(nil)
	f.mu.Lock()
	if f.c.life.Err() == nil { // else down was before
		f.open = true
		f.live.Store(f.troubled == nil)
	}
	f.mu.Unlock()
	f.first.Do(func() { close(f.ready) })
}

// down lets nothing be kept.
func (f *news) down() {
	f.mu.Lock()
	if f.troubled != nil {
		f.troubled.Stop()
		f.troubled = nil
	}
	f.open = false
	f.live.Store(false)
	f.mu.Unlock()
	f.tell(nil)
}

// listen opens a subscription, and receives until it ends. It reports whether it was open.
func (f *news) listen() bool {
	ctx, end := context.WithCancel(context.Background())
	defer end()
	c, err := f.subscribe(ctx, end)
	if err != nil {
		return false
	}
	f.up()
	f.receive(c)
	f.down()
	closing, cancel := context.WithTimeout(ctx, closeEach)
	defer cancel()
	_ = c.Close(closing) // it is for nobody else, and keeps nothing
	return true
}

// subscribe opens a subscription: ctx is that of its life, which end ends when that takes too long.
func (f *news) subscribe(ctx context.Context, end func()) (event.Consumer, error) {
	late := time.AfterFunc(openEach, end)
	stop := context.AfterFunc(f.c.life, end) //nolint:contextcheck // of the Bus
	c, err := f.c.style.Channel().Consumer(ctx, event.Subscription{
		Group:     f.wire + "-" + strings.ToLower(event.NewID()),
		Topics:    f.topics(),
		InFlight:  inHand,
		Ephemeral: true,
		OnError:   func(error) { f.trouble() },
	})
	inTime, alive := late.Stop(), stop()
	if err == nil && (!inTime || !alive) {
		_ = c.Close(ctx) // nothing is in hand
		err = context.Canceled
	}
	return c, err
}

func (f *news) topics() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	topics := []string{f.wire}
	for topic := range f.by {
		if topic != f.wire {
			topics = append(topics, topic)
		}
	}
	slices.Sort(topics)
	return topics
}

// receive passes on what comes, until the subscription ends.
func (f *news) receive(c event.Consumer) {
	buf := make([]event.Delivery, inHand)
	acks := make([]event.Settlement, 0, inHand)
	for {
		n, err := c.Receive(f.c.life, buf)
		if err != nil {
			return
		}
		acks = acks[:0]
		for i := range buf[:n] {
			d := &buf[i]
			if _, ours := c.Begin(d.Token); !ours {
				continue
			}
			f.pass(d)
			acks = append(acks, event.Ack(d.Token))
		}
		clear(buf[:n])
		_ = c.Settle(f.c.life, acks) // nobody wants it again, and it is kept for nobody
	}
}

// pass tells what a delivery changes.
func (f *news) pass(d *event.Delivery) {
	if d.Err != nil {
		f.tell(nil)
		return
	}
	keys, all := f.changedBy(d)
	if all {
		f.tell(nil)
	} else if len(keys) > 0 {
		f.tell(keys)
	}
}

// changedBy returns what an event changes.
func (f *news) changedBy(d *event.Delivery) (keys []key, all bool) {
	if d.Topic == f.wire {
		return f.hear(d.Event)
	}
	f.mu.Lock()
	readers := f.by[d.Topic][d.Event.Type()]
	f.mu.Unlock()
	for _, r := range readers {
		some, err := safely(r, d.Event)
		if err != nil {
			return nil, true
		}
		keys = append(keys, some...)
	}
	return keys, false
}

// safely reads an event with a function of the application.
func safely(r reader, e event.Event) (keys []key, err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return r(e)
}

var errPanicked = errors.New("query: a function of ChangedBy panicked")

// trouble notes that the engine reports errors, and may miss something: nothing is kept until
// it has been quiet for a while.
func (f *news) trouble() {
	f.mu.Lock()
	first := f.open && f.troubled == nil
	switch {
	case first:
		f.troubled = time.AfterFunc(quiet, f.calm)
		f.live.Store(false)
	case f.troubled != nil:
		f.troubled.Reset(quiet)
	}
	f.mu.Unlock()
	if first {
		f.tell(nil)
	}
}

// calm ends the trouble.
func (f *news) calm() {
	f.tell(nil)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.troubled != nil { // else it was closed meanwhile
		f.troubled = nil
		f.live.Store(f.open)
	}
}
