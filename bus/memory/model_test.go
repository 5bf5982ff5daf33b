package memory_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// The model is what the engine promises, as simply as it can be said: a list of
// what each group is owed, looked through from the front for everything.

var modelKeys = []string{"k0", "k1", "k2", "k3"}

func (m *model) anyKey() string { return modelKeys[m.r.IntN(len(modelKeys))] }

const (
	modelLease = time.Minute
	modelDead  = 6
)

// owed is an event as the model sees it.
type owed struct {
	id, key            string
	offset             int64
	due                time.Time // not before
	retry              bool      // due is that of a retry: the key waits for it
	holder             *modelMember
	begun, held        bool
	attempts, failures int
	mark               event.Mark
	token              event.Token
	ctx                context.Context
	parked             bool // as a dead letter
}

func (o *owed) waits(now time.Time) bool { return o.holder == nil && o.due.After(now) }

type modelMember struct {
	c       event.Consumer
	lost    []event.Token
	crashed bool
	expires time.Time
}

type model struct {
	t       *testing.T
	r       *rand.Rand
	ch      *memory.Channel
	topic   string
	group   string
	offset  int64
	made    int
	owed    []*owed // by offset
	dead    []*owed // as they died
	members []*modelMember
	stale   []staleToken
	log     []string
}

type staleToken struct {
	m *modelMember
	t event.Token
}

func (m *model) logf(format string, args ...any) {
	m.log = append(m.log, fmt.Sprintf(format, args...))
}

func (m *model) failf(format string, args ...any) {
	m.t.Helper()
	for _, l := range m.log[max(0, len(m.log)-150):] {
		m.t.Log(l)
	}
	m.t.Fatalf(format, args...)
}

func (m *model) check(err error) {
	m.t.Helper()
	if err != nil {
		m.failf("%v", err)
	}
}

func TestModel(t *testing.T) {
	seeds := 1000
	if testing.Short() {
		seeds = 60
	}
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) { runModel(t, uint64(seed)) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func runModel(t *testing.T, seed uint64) {
	t.Helper()
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 7)), topic: "orders", group: "mailer"}
	m.ch = memory.New(memory.Lease(modelLease), memory.DeadCapacity(modelDead), memory.Capacity(1<<20))
	m.join()
	ops := []func(){
		m.produce, m.produce, m.produceTo, m.receive, m.receive, m.receive, m.begin, m.hold,
		m.settle, m.settle, m.settle, m.settle, m.join, m.leave, m.crash, m.pass, m.pass, m.redrive, func() { m.redriveKey(m.anyKey()) }, m.cancel, m.discard, m.lag,
	}
	weights := rand.New(rand.NewPCG(seed, 8))
	var bag []int
	for i := range ops {
		for range 1 + weights.IntN(6) {
			bag = append(bag, i)
		}
	}
	for range 250 {
		ops[bag[m.r.IntN(len(bag))]]()
		m.expire()
		m.moveBehind()
	}
	m.workOff()
	m.check(m.ch.Close(context.Background()))
}

func (m *model) ctx() context.Context { return context.Background() }

func (m *model) newEvents() []event.Event {
	var es []event.Event
	for range 1 + m.r.IntN(4) {
		m.made++
		a := event.Attributes{ID: fmt.Sprint("e", m.made), Source: "/model", Type: "t"}
		if m.r.IntN(4) > 0 {
			a.Key = m.anyKey()
		}
		if m.r.IntN(6) == 0 {
			a.NotBefore = time.Now().Add(time.Duration(m.r.IntN(120)-20) * time.Second)
		}
		es = append(es, a.Event())
	}
	return es
}

func (m *model) accepted(es []event.Event, mark event.Mark) {
	for _, e := range es {
		m.offset++
		m.owed = append(m.owed, &owed{id: e.ID(), key: e.Key(), offset: m.offset, due: e.NotBefore(), mark: mark})
	}
	m.logf("%v produced %v", time.Now().Unix(), es)
}

func (m *model) produce() {
	p, err := m.ch.Producer(m.ctx(), m.topic)
	m.check(err)
	es := m.newEvents()
	at, err := p.(event.PositionProducer).ProduceAt(m.ctx(), es...)
	m.check(err)
	m.accepted(es, event.MarkNone)
	for i, p := range at {
		if p.Offset != m.offset-int64(len(es)-1-i) {
			m.failf("positions %v, want up to %d", at, m.offset)
		}
	}
}

func (m *model) produceTo() {
	es := m.newEvents()
	m.check(m.ch.ProduceTo(m.ctx(), m.group, m.topic, event.MarkReplayed, es...))
	m.accepted(es, event.MarkReplayed)
}

func (m *model) join() {
	if len(m.members) == 4 {
		return
	}
	x := &modelMember{}
	lost := func(tokens []event.Token) { x.lost = append(x.lost, tokens...) }
	c, err := m.ch.Consumer(m.ctx(), event.Subscription{Group: m.group, Topics: []string{m.topic}, OnLost: lost})
	m.check(err)
	x.c = c
	m.members = append(m.members, x)
	m.logf("joined %d", len(m.members))
}

// member returns a member that is alive, or nil.
func (m *model) member() *modelMember {
	for range 8 {
		if len(m.members) == 0 {
			return nil
		}
		if x := m.members[m.r.IntN(len(m.members))]; !x.crashed {
			return x
		}
	}
	return nil
}

// deliverable reports whether o may go to x now, and why not.
func (m *model) deliverable(o *owed, x *modelMember) string {
	now := time.Now()
	switch {
	case o.holder != nil:
		return "it is in hand"
	case o.due.After(now):
		return "it is not due"
	case o.key == "":
		return ""
	case m.front(o.key) != nil:
		return "its key is parked"
	}
	for _, p := range m.owed {
		if p.key != o.key || p == o {
			continue
		}
		if p.holder != nil && p.holder != x {
			return p.id + " of its key is in another hand"
		}
		if p.offset < o.offset && p.holder == nil && (p.retry || !p.waits(now)) {
			return p.id + " of its key comes first"
		}
	}
	return ""
}

func (m *model) receive() {
	x := m.member()
	if x == nil {
		return
	}
	buf := make([]event.Delivery, 1+m.r.IntN(6))
	ctx, cancel := context.WithTimeout(m.ctx(), time.Nanosecond)
	n, err := x.c.Receive(ctx, buf)
	cancel()
	if err != nil && ctx.Err() == nil {
		m.failf("Receive: %v", err)
	}
	for _, d := range buf[:n] {
		m.delivered(x, d)
	}
	if n == len(buf) {
		return
	}
	for _, o := range m.owed {
		if m.deliverable(o, x) == "" {
			m.failf("Receive brought %d of %d, but %+v was there", n, len(buf), *o)
		}
	}
}

func (m *model) delivered(x *modelMember, d event.Delivery) {
	i := slices.IndexFunc(m.owed, func(o *owed) bool { return o.id == d.Event.ID() })
	if i < 0 {
		m.failf("got %s, which is not owed", d.Event.ID())
	}
	o := m.owed[i]
	m.logf("%v got %s of %q, attempt %d", time.Now().Unix(), o.id, o.key, d.Attempt)
	if why := m.deliverable(o, x); why != "" {
		m.failf("got %s, but %s", o.id, why)
	}
	o.attempts++
	if d.Attempt != o.attempts || d.Failures != o.failures {
		m.failf("%s came as attempt %d with %d failures, want %d and %d", o.id, d.Attempt, d.Failures, o.attempts, o.failures)
	}
	if d.Position.Offset != o.offset || d.Topic != m.topic {
		m.failf("%s came at %v of %s, want %d", o.id, d.Position, d.Topic, o.offset)
	}
	if d.Redriven != (o.mark == event.MarkRedriven) || d.Replayed != (o.mark == event.MarkReplayed) {
		m.failf("%s came with %v %v, want %v", o.id, d.Redriven, d.Replayed, o.mark)
	}
	o.holder, o.token, o.retry, o.due = x, d.Token, false, time.Time{}
}

func (m *model) pass() { time.Sleep(time.Duration(m.r.IntN(40)) * time.Second) } // virtual

func (m *model) lag() {
	var want event.Lag
	due := false
	for _, o := range m.owed {
		due = due || o.holder != nil || o.retry || !o.waits(time.Now())
		switch {
		case o.holder != nil:
			want.InHand++
		case o.waits(time.Now()):
			want.Delayed++
		default:
			want.Waiting++
		}
	}
	want.Dead = len(m.dead)
	got, err := m.ch.Lag(m.ctx(), m.topic, m.group)
	m.check(err)
	if (got.OldestAge > 0) != due {
		m.failf("oldest age %v of %d", got.OldestAge, len(m.owed))
	}
	if got.OldestAge = 0; got != want {
		m.failf("lag %+v, want %+v", got, want)
	}
	infos, err := m.ch.Groups(m.ctx(), m.topic)
	m.check(err)
	if len(infos) != 1 || infos[0] != (event.GroupInfo{Group: m.group, Members: len(m.members)}) {
		m.failf("groups %v, want %d members", infos, len(m.members))
	}
}

// workOff handles everything that is left.
func (m *model) workOff() {
	time.Sleep(time.Hour) // virtual
	m.expire()
	if m.member() == nil {
		m.join()
	}
	for _, key := range modelKeys {
		m.moveBehind()
		m.redriveKey(key)
	}
	for range 1000 {
		m.receive()
		m.expire()
		for _, o := range slices.Clone(m.owed) {
			if o.holder != nil {
				m.check(o.holder.c.Settle(m.ctx(), []event.Settlement{event.Ack(o.token)}))
				m.gone(o)
			}
		}
		if len(m.owed) == 0 {
			m.check(m.ch.Quiet(m.ctx()))
			m.lag()
			return
		}
	}
	m.failf("%d events are left", len(m.owed))
}
