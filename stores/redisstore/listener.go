package redisstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/event"
)

// A listener lets any number of watchers share one connection that subscribes to their
// channels. It has two goroutines while somebody watches: one that hears and one that
// talks, since a connection on which one waits to hear can't be told anything else.
type listener struct {
	client redis.UniversalClient
	ctx    context.Context // ends with close
	cancel context.CancelFunc
	all    sync.WaitGroup
	todo   chan struct{} // something is in join or leave
	heard  atomic.Bool   // since the last beat

	mu          sync.Mutex
	topics      map[string]*topic
	closed      bool
	running     bool
	online      bool
	join, leave []string // the channels that are to be told next
}

// topic is a channel and its watchers. Of each one command at most is on its way: when it
// was told to leave, it is told to join again only when it has left. So an answer can't be
// taken for that to another command.
type topic struct {
	state    topicState
	watchers map[*watcher]struct{}
	wait     *answer // of those who came when it wasn't joined; nil: there are none
	missed   bool    // the connection was lost, and changes may have been
}

type watcher struct{ wake func() }

// answer is what the server says to those who wait to join.
type answer struct {
	done chan struct{}
	err  error // once done is closed
}

type topicState int

const (
	apart topicState = iota // nothing was told
	joining
	joined
	leaving
)

const (
	// beat is how often a connection is asked for a sign of life. Without one until the
	// next beat it is given up.
	beat     = 5 * time.Second
	backoff  = 50 * time.Millisecond // before the second try to connect; doubled for each other
	longest  = time.Second           // of these
	together = 1000                  // channels in a command
)

var errRing = errors.New("a ring has no connection that hears of all its keys")

func newListener(client redis.UniversalClient) *listener {
	ctx, cancel := context.WithCancel(context.Background())
	return &listener{client: client, ctx: ctx, cancel: cancel, todo: make(chan struct{}, 1), topics: make(map[string]*topic)}
}

// watch calls wake after each message of a channel. When it returns, the server has
// confirmed that it will send them.
func (l *listener) watch(ctx context.Context, channel string, wake func()) (stop func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if _, ok := l.client.(*redis.Ring); ok {
		return nil, errRing
	}
	w := &watcher{wake}
	wait, err := l.add(channel, w)
	if err != nil {
		return nil, err
	}
	stop = func() { l.remove(channel, w) }
	if wait == nil {
		return stop, nil
	}
	select {
	case <-wait.done:
		err = wait.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

// close ends all of it, and waits for that.
func (l *listener) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.cancel()
	l.all.Wait()
}

// add adds a watcher and returns what it has to wait for, if it has to.
func (l *listener) add(channel string, w *watcher) (*answer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, event.ErrClosed
	}
	t := l.topics[channel]
	if t == nil {
		t = &topic{watchers: make(map[*watcher]struct{})}
		l.topics[channel] = t
	}
	t.watchers[w] = struct{}{}
	if t.state == joined {
		return nil, nil //nolint:nilnil // nothing to wait for
	}
	if t.wait == nil {
		t.wait = &answer{done: make(chan struct{})}
	}
	switch {
	case !l.running:
		l.running = true
		l.all.Go(l.run)
	case l.online && t.state == apart:
		l.toJoin(channel, t)
	}
	return t.wait, nil
}

func (l *listener) remove(channel string, w *watcher) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[channel]
	if t == nil {
		return
	}
	if _, ok := t.watchers[w]; !ok {
		return // it has stopped before
	}
	delete(t.watchers, w)
	if len(t.watchers) > 0 {
		return
	}
	switch t.state {
	case apart:
		delete(l.topics, channel)
	case joined:
		l.toLeave(channel, t)
	case joining, leaving: // when that was answered
	}
}

// toJoin has a channel joined. mu is held.
func (l *listener) toJoin(channel string, t *topic) {
	t.state = joining
	l.join = append(l.join, channel)
	l.tell()
}

// toLeave has a channel left. mu is held.
func (l *listener) toLeave(channel string, t *topic) {
	t.state = leaving
	l.leave = append(l.leave, channel)
	l.tell()
}

func (l *listener) tell() {
	select {
	case l.todo <- struct{}{}:
	default:
	}
}

// answered ends the wait of those who wait to join. mu is held.
func (t *topic) answered(err error) {
	if t.wait != nil {
		t.wait.err = err
		close(t.wait.done)
		t.wait = nil
	}
}

// run keeps a connection for as long as somebody watches.
func (l *listener) run() {
	failures := 0
	for !l.idle() {
		heard, err := l.connection()
		switch {
		case errors.Is(err, redis.ErrClosed): // the client is closed, and doesn't open again
			l.end(err)
			return
		case heard:
			failures = 0
		default:
			l.rest(failures)
			failures++
		}
	}
}

// idle reports whether there is nothing to do, and from then on run is over.
func (l *listener) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ctx.Err() != nil {
		l.fail(event.ErrClosed)
		clear(l.topics)
	}
	l.running = len(l.topics) > 0
	return !l.running
}

// end notes that run is over though somebody watches: it begins again with who comes next.
func (l *listener) end(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = false
	l.fail(err) // who came after the try that failed
}

// rest waits before another try to connect, not as long as others who lost the same server.
func (l *listener) rest(failures int) {
	d := min(backoff<<min(failures, 10), longest)
	timer := time.NewTimer(d/2 + rand.N(d/2))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.ctx.Done():
	}
}

// fail tells those who wait that they wait for nothing. mu is held.
func (l *listener) fail(err error) {
	for _, t := range l.topics {
		t.answered(err)
	}
}

// connection hears on one connection until it ends, and reports whether it was good for
// anything. An error is that there was none.
func (l *listener) connection() (good bool, err error) {
	conn := l.client.Subscribe(l.ctx)
	if err := conn.Ping(l.ctx); err != nil { // it connects
		_ = conn.Close()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.fail(err)
		return false, err
	}
	ctx, cancel := context.WithCancel(l.ctx)
	var talks sync.WaitGroup
	l.begin()
	talks.Go(func() {
		l.talk(ctx, conn)
		_ = conn.Close() // ends hear
	})
	good, err = l.hear(ctx, conn)
	cancel()
	talks.Wait()
	l.lost(err)
	return good, nil
}

// begin has all channels joined, on a new connection.
func (l *listener) begin() {
	l.heard.Store(true)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.online = true
	for channel, t := range l.topics {
		l.toJoin(channel, t)
	}
}

// lost notes that a connection is gone. What it was told is forgotten; who waits to join
// goes on waiting for the next one, unless the server has said no.
func (l *listener) lost(err error) {
	var refused redis.Error
	no := errors.As(err, &refused)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.online, l.join, l.leave = false, nil, nil
	for channel, t := range l.topics {
		t.state, t.missed = apart, true
		if no {
			t.answered(err)
		}
		if len(t.watchers) == 0 {
			delete(l.topics, channel)
		}
	}
}

// talk tells the server what to send, and asks for signs of life.
func (l *listener) talk(ctx context.Context, conn *redis.PubSub) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	for err := error(nil); err == nil; {
		select {
		case <-ctx.Done():
			return
		case <-l.todo:
			err = l.tellAll(ctx, conn)
		case <-beats.C:
			if l.unused() || !l.heard.Swap(false) {
				return
			}
			err = conn.Ping(ctx)
		}
	}
}

// unused reports whether nobody watches.
func (l *listener) unused() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.topics) == 0
}

// tellAll tells the server all that it is to be told.
func (l *listener) tellAll(ctx context.Context, conn *redis.PubSub) error {
	l.mu.Lock()
	join, leave := l.join, l.leave
	l.join, l.leave = nil, nil
	l.mu.Unlock()
	for some := range slices.Chunk(join, together) {
		if err := conn.Subscribe(ctx, some...); err != nil {
			return err
		}
	}
	for some := range slices.Chunk(leave, together) {
		if err := conn.Unsubscribe(ctx, some...); err != nil {
			return err
		}
	}
	return nil
}

// hear wakes watchers until the connection ends, and reports whether it was good for
// anything.
func (l *listener) hear(ctx context.Context, conn *redis.PubSub) (good bool, err error) {
	var wake []*watcher
	for {
		message, err := conn.Receive(ctx)
		if err != nil {
			return good, err
		}
		l.heard.Store(true)
		wake = wake[:0]
		switch m := message.(type) {
		case *redis.Message:
			good = true
			wake = l.changed(m.Channel, wake)
		case *redis.Subscription:
			good = true
			wake = l.confirmed(m, wake)
		}
		for _, w := range wake {
			w.wake()
		}
		clear(wake)
	}
}

// changed appends who watches a channel.
func (l *listener) changed(channel string, wake []*watcher) []*watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[channel]
	if t == nil {
		return wake
	}
	return t.appendTo(wake)
}

func (t *topic) appendTo(wake []*watcher) []*watcher {
	for w := range t.watchers {
		wake = append(wake, w)
	}
	return wake
}

// confirmed notes that a channel is joined or left, and appends who may have missed
// something before.
func (l *listener) confirmed(s *redis.Subscription, wake []*watcher) []*watcher {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[s.Channel]
	switch {
	case t == nil:
		return wake
	case s.Kind == "subscribe":
		return l.hasJoined(s.Channel, t, wake)
	case len(t.watchers) > 0: // somebody came meanwhile
		l.toJoin(s.Channel, t)
	default:
		delete(l.topics, s.Channel)
	}
	return wake
}

// hasJoined is confirmed for who joined. mu is held.
func (l *listener) hasJoined(channel string, t *topic, wake []*watcher) []*watcher {
	t.answered(nil)
	if len(t.watchers) == 0 { // they have gone meanwhile
		l.toLeave(channel, t)
		return wake
	}
	t.state = joined
	if t.missed {
		wake, t.missed = t.appendTo(wake), false
	}
	return wake
}
