package query

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

// MemoryConfig bounds a [Memory]. The zero value is usable.
type MemoryConfig struct {
	Recent int // how many events are known by their ids, the latest; 0: 100,000
}

const defaultRecent = 100_000

// Memory is a [Model] in the memory of this process: what is read lies in its tables ([NewTable]), of
// which it can have several. It is gone with the process: a projection on a
// channel that keeps its history begins anew with a [Projection.Rebuild].
//
// A transaction sees what was committed, and its own writes, which nobody else sees until the commit.
// What it has read must be there unchanged when it commits; otherwise the handler runs again:
// so counters are exact, however many workers there are. A handler that read two
// things of which one was changed in between may see what never was; what it does then isn't committed,
// and its error doesn't count.
//
// Several Buses of a process can share a Memory, for one projection. Its methods may be
// called concurrently. It has no goroutine, and no lock is held while a handler runs.
type Memory struct {
	recent int

	mu       sync.Mutex
	name     string // of the projection; "": not open
	serving  *generation
	built    *generation // by a rebuild; nil: none
	building bool
	last     int // number of a generation
	tables   int
}

var _ Model = (*Memory)(nil)

// NewMemory returns an empty model.
func NewMemory(cfg MemoryConfig) *Memory {
	if cfg.Recent <= 0 {
		cfg.Recent = defaultRecent
	}
	m := &Memory{recent: cfg.Recent}
	m.serving = m.generation()
	return m
}

// generation is a state of the model. The Memory's mu guards it.
type generation struct {
	number int
	lanes  map[string]map[int32]*place
	ids    ids
	rows   map[int]any // by table
}

// generation returns a new one. mu is held. Its number grows with the time: that of a process that
// ended is no other's.
func (m *Memory) generation() *generation {
	m.last = max(m.last+1, int(time.Now().Unix()))
	return &generation{
		number: m.last,
		lanes:  make(map[string]map[int32]*place),
		ids:    newIDs(m.recent),
		rows:   make(map[int]any),
	}
}

// place returns that of a lane.
func (g *generation) place(topic string, lane int32) *place {
	lanes := g.lanes[topic]
	if lanes == nil {
		lanes = make(map[int32]*place)
		g.lanes[topic] = lanes
	}
	p := lanes[lane]
	if p == nil {
		p = new(place)
		lanes[lane] = p
	}
	return p
}

// look returns that of a lane, or nil.
func (g *generation) look(s Step) *place {
	if !s.At.Valid() {
		return nil
	}
	return g.lanes[s.Topic][s.At.Lane]
}

// applied reports whether the generation has the event of a step.
func (g *generation) applied(s Step) bool {
	if p := g.look(s); p != nil && p.has(s.At.Offset) && !p.isDead(s.At.Offset) {
		return true
	}
	return g.ids.applied(s)
}

// Open implements [Model].
func (m *Memory) Open(ctx context.Context, projection string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name != "" && m.name != projection {
		return fmt.Errorf("query: the model is that of projection %q", m.name)
	}
	m.name = projection
	return ctx.Err()
}

// of returns the generation of a step. mu is held.
func (m *Memory) of(s Step) (*generation, error) {
	switch {
	case m.name == "":
		return nil, errors.New("query: the model isn't open")
	case s.Generation == 0 || s.Generation == m.serving.number:
		return m.serving, nil
	case m.built != nil && s.Generation == m.built.number:
		return m.built, nil
	}
	return nil, fmt.Errorf("query: the model has no generation %d", s.Generation)
}

// Begin implements [Model].
func (m *Memory) Begin(ctx context.Context, s Step) (Update, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.of(s)
	if err != nil {
		return nil, err
	}
	if g.applied(s) {
		return nil, ErrApplied
	}
	return &update{m: m, g: g, step: s}, nil
}

// Pass implements [Model].
func (m *Memory) Pass(ctx context.Context, s Step, dead bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.of(s)
	if err != nil {
		return err
	}
	if !dead {
		g.ids.see(s)
	}
	switch {
	case !s.At.Valid():
	case dead:
		g.place(s.Topic, s.At.Lane).die(s.At.Offset, s.Gap)
	default:
		g.place(s.Topic, s.At.Lane).live(s.At.Offset, s.Gap)
	}
	return nil
}

// Seen implements [Model].
func (m *Memory) Seen(ctx context.Context, ids ...string) ([]bool, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	seen := make([]bool, len(ids))
	for i, id := range ids {
		seen[i] = m.serving.ids.seen(id)
	}
	return seen, nil
}

// Reached implements [Model].
func (m *Memory) Reached(ctx context.Context, topic string) ([]event.Position, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var at []event.Position
	for lane, p := range m.serving.lanes[topic] {
		at = append(at, event.Position{Lane: lane, Offset: p.offset})
	}
	return at, nil
}

// Build implements [Model].
func (m *Memory) Build(ctx context.Context) (int, func(), error) {
	if err := ctx.Err(); err != nil {
		return 0, nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.building {
		return 0, nil, ErrRebuilding
	}
	g := m.generation()
	m.building, m.built = true, g
	return g.number, sync.OnceFunc(m.release), nil
}

// release ends a build. What doesn't serve is dropped.
func (m *Memory) release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.building, m.built = false, nil
}

// Switch implements [Model].
func (m *Memory) Switch(ctx context.Context, generation int) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g, err := m.of(Step{Generation: generation})
	if err != nil || g == m.serving {
		return err == nil, err
	}
	for topic, lanes := range m.serving.lanes {
		for lane, p := range lanes {
			built := g.lanes[topic][lane]
			if built == nil {
				built = new(place)
			}
			if !built.covers(p) {
				return false, nil
			}
		}
	}
	m.serving, m.built = g, nil
	return true, nil
}
