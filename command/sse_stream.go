package command

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-go/leat/internal/sse"
	"github.com/leat-go/leat/internal/webanswer"
)

// events answers with what becomes of an operation, as server-sent events.
func (g *gateway) events(w http.ResponseWriter, r *http.Request, id string) error {
	p, err := g.principal(r, Access{Action: ActionWatch, Operation: id})
	if err != nil {
		return err
	}
	leave, err := g.enter(p)
	if err != nil {
		return err
	}
	defer leave()
	o, err := g.find(r.Context(), p, id)
	if err != nil {
		return err
	}
	s := &stream{gateway: g, id: id, p: p, news: make(chan struct{}, 1)}
	s.seen = resumed(r, o)
	if o.State.Final() && s.seen == o.Version { // the client has it all: this lets it not come again
		webanswer.Header(w)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	stop, err := s.follow(r.Context())
	if err != nil {
		return err
	}
	defer stop()
	if o, err = g.find(r.Context(), p, id); err != nil { // what changed before is seen now, what changes later wakes
		return err
	}
	webanswer.Header(w)
	if s.wire, err = sse.Begin(w, s.cfg.WriteTimeout); err != nil {
		return errors.Join(errNoStream, err)
	}
	s.run(r.Context(), o)
	return nil
}

// follow lets the store wake the stream.
func (s *stream) follow(ctx context.Context) (stop func(), err error) {
	ctx, cancel := s.bound(ctx)
	defer cancel()
	return s.operations().Watch(ctx, s.id, s.wake)
}

// resumed returns the version that a client has seen: one that the operation has had, or 0.
func resumed(r *http.Request, o Operation) int64 {
	last := cmp.Or(r.Header.Get("Last-Event-ID"), r.URL.Query().Get("lastEventId"))
	n, err := strconv.ParseInt(last, 10, 64)
	if err != nil || n < 1 || n > o.Version || last != strconv.FormatInt(n, 10) {
		return 0
	}
	return n
}

// stream is a connection that somebody watches an operation by. Only wake is called by others
// than the request's goroutine.
type stream struct {
	*gateway

	wire *sse.Writer // nil: nothing was written yet
	id   string
	p    Principal
	news chan struct{} // the operation may have changed
	seen int64         // the version that was sent last

	beat time.Time // when the next heartbeat is due
	look time.Time // when the operation is looked at without being woken
}

// lookEvery is how often a stream looks whether its operation is still kept; lookAgain, when it
// does after the store failed.
const (
	lookEvery = 5 * time.Minute
	lookAgain = time.Second
)

func (s *stream) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// errNoStream is told where streams aren't possible at all.
var errNoStream = errors.New("command: the ResponseWriter takes no write deadline: a middleware around the Gateway has no Unwrap")

// run sends the operation as it is and as it changes, until it is final, or one of the two
// sides ends it.
func (s *stream) run(ctx context.Context, o Operation) {
	if !s.write(sse.Retry(s.cfg.Reconnect)) {
		return
	}
	s.look = time.Now().Add(lookEvery)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if !s.show(o) {
			return
		}
		for o.Version <= s.seen {
			timer.Reset(time.Until(s.next()))
			select {
			case <-s.news:
				s.look = time.Now()
			case <-timer.C:
			case <-ctx.Done():
				return
			case <-s.life.Done():
				return
			}
			var ok bool
			if o, ok = s.tick(ctx, o); !ok {
				return
			}
		}
	}
}

// next is when there is something to do if nothing happens.
func (s *stream) next() time.Time {
	at := s.beat
	if s.look.Before(at) {
		at = s.look
	}
	if end := s.p.Expires; !end.IsZero() && end.Before(at) {
		at = end
	}
	return at
}

// tick does what is due, and returns the operation as it is. It reports false when the stream is
// over.
func (s *stream) tick(ctx context.Context, o Operation) (Operation, bool) {
	now := time.Now()
	if end := s.p.Expires; !end.IsZero() && !now.Before(end) {
		return o, false // the client comes again, and is asked who it is
	}
	if !now.Before(s.beat) && !s.write([]byte(sse.Heartbeat)) {
		return o, false
	}
	if now.Before(s.look) {
		return o, true
	}
	fresh, err := s.find(ctx, s.p, s.id)
	if _, refused := errors.AsType[refusal](err); refused {
		return o, false // it is kept no longer
	}
	if err != nil {
		s.look = now.Add(lookAgain) // a client that is refused may not come again, so it stays
		return o, true
	}
	s.look = now.Add(lookEvery)
	return fresh, true
}

// show sends an operation, and reports whether others follow.
func (s *stream) show(o Operation) bool {
	if o.Version <= s.seen {
		return !o.State.Final()
	}
	data, err := json.Marshal(s.view(o))
	if err != nil {
		return false
	}
	e := sse.Event{ID: strconv.FormatInt(o.Version, 10), Name: "operation", Data: data}
	if !s.write(e.Append(nil)) {
		return false
	}
	s.seen = o.Version
	return !o.State.Final()
}

// write sends bytes in the time that a client has to read them.
func (s *stream) write(b []byte) bool {
	s.beat = time.Now().Add(s.cfg.Heartbeat)
	return s.wire.Write(b) == nil
}
