package bustest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// recorder remembers what was published and attempted.
type recorder struct {
	mu       sync.Mutex
	began    time.Time
	pubs     []publication
	attempts map[string][]*attempt // by source and id of the event
}

// attempt is a run of a handler.
type attempt struct {
	handler string
	number  int
	started time.Time
	how     string // it ended
}

func (a *attempt) end(e bus.AttemptEnd) {
	a.handler, a.number, a.started, a.how = e.Handler, e.Info.Attempt, e.Started, e.Outcome.String()
	if e.Err != nil {
		a.how += ": " + e.Err.Error()
	}
}

type publication struct {
	event event.Event
	topic string
	at    time.Time
}

func newRecorder() *recorder {
	return &recorder{began: time.Now(), attempts: make(map[string][]*attempt)}
}

// OnPublish remembers what was accepted.
func (r *recorder) OnPublish(_ context.Context, p bus.Published) {
	if p.Err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pubs = append(r.pubs, publication{event: p.Event, topic: p.Topic, at: time.Now()})
}

// OnAttempt remembers an attempt.
func (r *recorder) OnAttempt(_ context.Context, e bus.AttemptEnd) {
	a := new(attempt)
	a.end(e)
	r.tried(e.Info.Event, a)
}

func (r *recorder) tried(e event.Event, a *attempt) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := identity(e)
	r.attempts[id] = append(r.attempts[id], a)
}

func identity(e event.Event) string { return e.Source() + " " + e.ID() }

func (r *recorder) published() []publication {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.pubs)
}

// Story tells what was published so far, what each event caused, and how the
// attempts to handle it ended: a tree, with times since the start of the test.
// Data is not shown.
func (b *Bus) Story() string { return b.recorder.story(event.Event.ID) }

// story tells it with these ids. What was published again is told once.
func (r *recorder) story(id func(event.Event) string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.pubs) == 0 {
		return "nothing was published"
	}
	s := story{r: r, id: id, children: make(map[string][]publication), times: make(map[string]int)}
	for _, p := range r.pubs {
		s.times[p.event.ID()]++
	}
	var roots []publication
	told := make(map[string]bool)
	for _, p := range r.pubs {
		if told[p.event.ID()] {
			continue
		}
		told[p.event.ID()] = true
		if cause := p.event.Extension(event.ExtCausationID); s.times[cause] > 0 && cause != p.event.ID() {
			s.children[cause] = append(s.children[cause], p)
			continue
		}
		roots = append(roots, p)
	}
	s.sb.WriteString("what happened:")
	for _, p := range roots {
		s.tell(p, 1)
	}
	return s.sb.String()
}

type story struct {
	r        *recorder
	sb       strings.Builder
	id       func(event.Event) string
	children map[string][]publication // by the id of their cause
	times    map[string]int           // that an event was published, by its id
}

// since returns when something happened, as exactly as a reader needs it.
func (r *recorder) since(at time.Time) time.Duration {
	return at.Sub(r.began).Round(time.Millisecond)
}

// maxDepth keeps a story readable when events cause each other in a circle.
const maxDepth = 12

func (s *story) tell(p publication, depth int) {
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(&s.sb, "\n%s%v %s", indent, s.r.since(p.at), p.event.Type())
	if key := p.event.Key(); key != "" {
		fmt.Fprintf(&s.sb, " key=%s", key)
	}
	fmt.Fprintf(&s.sb, " (%s)", s.id(p.event))
	if n := s.times[p.event.ID()]; n > 1 {
		fmt.Fprintf(&s.sb, ", published %d times", n)
	}
	for _, a := range s.r.attempts[identity(p.event)] {
		fmt.Fprintf(&s.sb, "\n%s  %v %s attempt %d: %s", indent, s.r.since(a.started), a.handler, a.number, a.how)
	}
	if depth == maxDepth {
		s.sb.WriteString("\n" + indent + "  …")
		return
	}
	for _, child := range s.children[p.event.ID()] {
		s.tell(child, depth+1)
	}
}
