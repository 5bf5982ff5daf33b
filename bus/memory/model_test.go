package memory_test

import (
	"context"
	"errors"
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
}

func (o *owed) waits(now time.Time) bool { return o.holder == nil && o.due.After(now) }

type modelMember struct {
	c       event.Consumer
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
		m.settle, m.settle, m.settle, m.settle, m.join, m.leave, m.crash, m.pass, m.pass, m.redrive, m.redriveKey, m.discard, m.lag,
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
			a.Key = fmt.Sprint("k", m.r.IntN(4))
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
	c, err := m.ch.Consumer(m.ctx(), event.Subscription{Group: m.group, Topics: []string{m.topic}})
	m.check(err)
	m.members = append(m.members, &modelMember{c: c})
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

// inHand returns something that a living member has in hand, or nil.
func (m *model) inHand() *owed {
	var all []*owed
	for _, o := range m.owed {
		if o.holder != nil && !o.holder.crashed {
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all[m.r.IntN(len(all))]
}

func (m *model) begin() {
	o := m.inHand()
	if o == nil {
		return
	}
	ctx, ok := o.holder.c.Begin(o.token)
	if !ok || ctx.Err() != nil {
		m.failf("Begin of %s: %v %v", o.id, ok, ctx)
	}
	if o.ctx != nil && o.ctx != ctx {
		m.failf("Begin of %s gave another context", o.id)
	}
	o.ctx, o.begun, o.held = ctx, true, false
}

func (m *model) hold() {
	o := m.inHand()
	if o == nil || !o.begun {
		return
	}
	o.failures = m.r.IntN(9)
	o.holder.c.Hold(o.token, o.failures)
	o.held, o.begun = true, false
}

// back puts o back.
func (m *model) back(o *owed, after time.Duration) {
	m.stale = append(m.stale, staleToken{o.holder, o.token})
	o.holder, o.begun, o.held, o.ctx = nil, false, false, nil
	if after > 0 {
		o.retry, o.due = true, time.Now().Add(after)
	}
}

func (m *model) gone(o *owed) {
	m.stale = append(m.stale, staleToken{o.holder, o.token})
	m.owed = slices.DeleteFunc(m.owed, func(x *owed) bool { return x == o })
	o.holder, o.begun, o.held, o.ctx = nil, false, false, nil
}

func (m *model) settle() {
	o := m.inHand()
	if o == nil {
		m.settleStale()
		return
	}
	x, token := o.holder, o.token
	var s event.Settlement
	full := false
	switch m.r.IntN(6) {
	case 0:
		after := time.Duration(m.r.IntN(90)-10) * time.Second
		o.failures = m.r.IntN(9)
		s = event.Retry(token, after, o.failures)
		m.back(o, after)
	case 1:
		s = event.Release(token)
		o.attempts--
		m.back(o, 0)
	case 2:
		s = event.Dead(token, event.Cause{Code: "c"})
		if full = len(m.dead) == modelDead; full {
			o.begun, o.held = false, true
			break
		}
		m.gone(o)
		m.dead = append(m.dead, o)
	default:
		s = event.Ack(token)
		m.gone(o)
	}
	m.logf("%v settles %s: %v %v", time.Now().Unix(), o.id, s.Kind, s.After)
	err := x.c.Settle(m.ctx(), []event.Settlement{s})
	switch {
	case full:
		m.refused(err, event.ErrFull)
	default:
		m.check(err)
	}
}

func (m *model) settleStale() {
	if len(m.stale) == 0 {
		return
	}
	s := m.stale[m.r.IntN(len(m.stale))]
	if !slices.Contains(m.members, s.m) || s.m.crashed {
		return
	}
	if _, ok := s.m.c.Begin(s.t); ok {
		m.failf("Begin of a stale token")
	}
	s.m.c.Hold(s.t, 99)
	m.refused(s.m.c.Settle(m.ctx(), []event.Settlement{event.Ack(s.t)}), event.ErrLeaseLost)
}

func (m *model) refused(err, want error) {
	m.t.Helper()
	var some *event.SettleError
	if !errors.As(err, &some) || !errors.Is(some.Failed[0], want) {
		m.failf("Settle returned %v, want %v", err, want)
	}
}

// leave closes a member; what is begun is cancelled at once.
func (m *model) leave() {
	x := m.member()
	if x == nil {
		return
	}
	ctx, cancel := context.WithCancel(m.ctx())
	cancel()
	m.check(x.c.Close(ctx))
	m.drop(x, true)
	m.logf("left")
}

// drop gives everything of a member back.
func (m *model) drop(x *modelMember, closed bool) {
	for _, o := range m.owed {
		if o.holder != x {
			continue
		}
		if closed && o.begun && !errors.Is(context.Cause(o.ctx), event.ErrClosed) {
			m.failf("the context of %s ended with %v", o.id, context.Cause(o.ctx))
		}
		if closed && !o.begun && !o.held {
			o.attempts-- // never begun
		}
		m.back(o, 0)
	}
	m.members = slices.DeleteFunc(m.members, func(y *modelMember) bool { return y == x })
}

func (m *model) crash() {
	x := m.member()
	if x == nil || m.r.IntN(3) > 0 {
		return
	}
	m.ch.Crash(x.c)
	x.crashed, x.expires = true, time.Now().Add(modelLease)
	m.logf("%v crashed", time.Now().Unix())
	if _, err := x.c.Receive(m.ctx(), make([]event.Delivery, 1)); !errors.Is(err, event.ErrClosed) {
		m.failf("Receive of a crashed member: %v", err)
	}
	if err := x.c.Settle(m.ctx(), nil); !errors.Is(err, event.ErrClosed) {
		m.failf("Settle of a crashed member: %v", err)
	}
}

// expire ends the leases that are over.
func (m *model) expire() {
	for _, x := range slices.Clone(m.members) {
		if x.crashed && !x.expires.After(time.Now()) {
			m.drop(x, false)
		}
	}
}

func (m *model) pass() { time.Sleep(time.Duration(m.r.IntN(40)) * time.Second) } // virtual

func (m *model) letters() []event.DeadLetter {
	var ls []event.DeadLetter
	for l, err := range m.ch.DeadLetters(m.ctx(), m.topic, m.group) {
		m.check(err)
		ls = append(ls, l)
	}
	if len(ls) != len(m.dead) {
		m.failf("%d dead letters, want %d", len(ls), len(m.dead))
	}
	for i, l := range ls {
		if l.Event.ID() != m.dead[i].id {
			m.failf("dead letter %d is %s, want %s", i, l.Event.ID(), m.dead[i].id)
		}
	}
	return ls
}

func (m *model) redriven(i int) {
	o := m.dead[i]
	m.dead = slices.Delete(m.dead, i, i+1)
	o.attempts, o.failures, o.mark = 0, 0, event.MarkRedriven
	at, _ := slices.BinarySearchFunc(m.owed, o.offset, func(x *owed, offset int64) int { return int(x.offset - offset) })
	m.owed = slices.Insert(m.owed, at, o)
}

func (m *model) redrive() {
	ls := m.letters()
	if len(ls) == 0 {
		return
	}
	i := m.r.IntN(len(ls))
	m.check(m.ch.Redrive(m.ctx(), ls[i]))
	m.redriven(i)
	m.logf("redriven %s", ls[i].Event.ID())
	if err := m.ch.Redrive(m.ctx(), ls[i]); !errors.Is(err, event.ErrNotFound) {
		m.failf("a second Redrive: %v", err)
	}
}

func (m *model) redriveKey() {
	key := fmt.Sprint("k", m.r.IntN(4))
	n, err := m.ch.RedriveKey(m.ctx(), m.topic, m.group, key)
	m.check(err)
	m.logf("redriven %d of %s", n, key)
	for i := 0; i < len(m.dead); {
		if m.dead[i].key == key {
			m.redriven(i)
			n--
			continue
		}
		i++
	}
	if n != 0 {
		m.failf("RedriveKey returned %d too many", n)
	}
}

func (m *model) discard() {
	if ls := m.letters(); len(ls) > 0 {
		i := m.r.IntN(len(ls))
		m.check(m.ch.Discard(m.ctx(), ls[i]))
		m.dead = slices.Delete(m.dead, i, i+1)
	}
}

func (m *model) lag() {
	var want event.Lag
	for _, o := range m.owed {
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
	if (got.OldestAge > 0) != (len(m.owed) > 0) {
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
