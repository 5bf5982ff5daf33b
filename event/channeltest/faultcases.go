package channeltest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/leat-go/leat/event"
)

var faultsCases = []testCase{
	{
		name:    "LongDay",
		promise: "Whatever members do with what they get, and however they come and go: nothing is lost or changed, nothing goes to a group that isn't owed it, nothing comes before it is due, each key is in order and in one hand, what is driven again comes again, and in the end all is quiet.",
		needs:   []need{order, givesBack, three},
		stands:  true,
		run:     func(e *env) { newDay(e).run() },
	},
}

// day is a scenario with chance in it.
type day struct {
	*env

	mu     sync.Mutex
	rand   *rand.Rand
	topics []string
	groups map[string][]string // their topics
	crews  []*crew
	ms     map[string][]*member
	dead   map[[2]string][]string // ids by group and topic
	again  map[[2]string][]string // of these, redriven ones that came
}

func newDay(e *env) *day {
	d := &day{
		env: e, rand: rand.New(rand.NewPCG(e.Seed, 3)), topics: []string{e.topic("orders"), e.topic("mails")},
		groups: map[string][]string{}, ms: map[string][]*member{}, dead: map[[2]string][]string{}, again: map[[2]string][]string{},
	}
	d.groups[e.group("both")] = d.topics
	d.groups[e.group("orders")] = d.topics[:1]
	d.groups[e.group("mails")] = d.topics[1:]
	return d
}

// n returns a random number below limit.
func (d *day) n(limit int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rand.IntN(limit)
}

func (d *day) run() {
	for group := range d.groups {
		for range 1 + d.n(3) {
			d.join(group)
		}
	}
	var producers sync.WaitGroup
	for p := range 3 {
		producers.Go(func() {
			defer func() { d.tellPanic(d.t, recover()) }()
			d.produceSome(p)
		})
	}
	for group := range d.groups {
		producers.Go(func() {
			defer func() { d.tellPanic(d.t, recover()) }()
			d.comeAndGo(group)
		})
	}
	d.within(6*d.Patience, "producing all day", producers.Wait)
	for group, topics := range d.groups {
		for _, topic := range topics {
			d.awaitSettled(6*(d.Patience+d.Guarantees.Lease), group, topic)
		}
	}
	d.awaitQuiet()
	d.redriveSome()
	for _, c := range d.crews {
		c.stop()
	}
	d.compareLetters()
}

func (d *day) join(group string) {
	m := d.env.join(group, d.groups[group]...)
	c := d.work(d.handle, m)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ms[group] = append(d.ms[group], m)
	d.crews = append(d.crews, c)
}

// produceSome produces some events of its own keys and without, and some for one
// group alone.
func (d *day) produceSome(p int) {
	const keys = 3
	next := [keys]int{}
	for i := range max(d.Events/50, 5) {
		topic := d.topics[d.n(len(d.topics))]
		var events []event.Event
		for j := range 1 + d.n(4) {
			if k := d.n(2 * keys); k < keys {
				next[k]++
				key := fmt.Sprintf("p%d-key%d", p, k)
				events = append(events, numbered(key, next[k]).WithKey(key))
				continue
			}
			events = append(events, d.maybeLate(numbered(fmt.Sprintf("p%d-%d", p, i), j)))
		}
		d.produce(topic, events...)
		if d.Capabilities&GroupProducer != 0 && d.n(3) == 0 {
			d.produceToOne(numbered(fmt.Sprintf("p%d-alone", p), i))
		}
		d.pass(time.Duration(d.n(3)) * d.Silence / 100)
	}
}

// maybeLate puts some events off.
func (d *day) maybeLate(ev event.Event) event.Event {
	if d.Guarantees.MaxDelay == 0 || d.n(4) > 0 {
		return ev
	}
	return later(ev, min(time.Duration(d.n(20))*d.Silence/20, d.delay(d.Guarantees.MaxDelay)))
}

func (d *day) produceToOne(ev event.Event) {
	groups := make([]string, 0, len(d.groups))
	for g := range d.groups {
		groups = append(groups, g)
	}
	group := groups[d.n(len(groups))]
	topic := d.groups[group][0]
	ctx, cancel := d.patient()
	defer cancel()
	err := d.insist(ctx, topic, group, []event.Event{ev}, func(left []event.Event) error {
		return as[event.GroupProducer](d.env).ProduceTo(ctx, group, topic, event.MarkNone, left...)
	})
	if err != nil {
		d.fatalf("ProduceTo of %s: %v", ev.ID(), err)
	}
}

// comeAndGo replaces members.
func (d *day) comeAndGo(group string) {
	for range d.n(3) {
		d.pass(time.Duration(1+d.n(10)) * d.Silence / 100)
		d.ledger.expectTurbulence()
		d.join(group)
		d.mu.Lock()
		m := d.ms[group][0]
		d.ms[group] = d.ms[group][1:]
		d.mu.Unlock()
		if d.Crash != nil && d.n(2) == 0 {
			m.crash()
			continue
		}
		ctx, cancel := context.WithTimeout(d.ctx, d.Silence)
		m.closeWith(ctx)
		cancel()
	}
}

// handle does with a delivery what may be done.
func (d *day) handle(r run) event.Settlement {
	if due := r.Event.NotBefore(); time.Now().Before(due) {
		d.errorf("%s came %v early", r.Event.ID(), time.Until(due))
	}
	if r.Redriven {
		d.mu.Lock()
		at := [2]string{r.m.group, r.Topic}
		d.again[at] = append(d.again[at], r.Event.ID())
		d.mu.Unlock()
	}
	switch d.n(14) {
	case 0:
		return event.Retry(r.Token, 0, r.Failures+1)
	case 1:
		return event.Release(r.Token)
	case 2:
		if d.Guarantees.MaxRetry != 0 {
			return event.Retry(r.Token, d.Silence/20, r.Failures+1)
		}
	case 3:
		r.m.hold(r.Delivery, r.Failures)
		d.pass(d.Silence / 100)
		_, _ = r.m.tryBegin(r.Token) // if it is lost, the settlement is refused
	case 4:
		d.pass(d.Silence / 200)
	case 5:
		if d.Capabilities&DeadLetters != 0 {
			d.mu.Lock()
			defer d.mu.Unlock()
			at := [2]string{r.m.group, r.Topic}
			d.dead[at] = append(d.dead[at], r.Event.ID())
			return event.Dead(r.Token, event.Cause{Code: "test"})
		}
	}
	return event.Ack(r.Token)
}

// awaitQuiet waits until the channel says that the groups are owed nothing.
func (d *day) awaitQuiet() {
	if d.Capabilities&Quiescer == 0 {
		return
	}
	ctx, cancel := d.patient()
	defer cancel()
	for group := range d.groups {
		if err := as[event.Quiescer](d.env).Quiet(ctx, group); err != nil {
			d.fatalf("everything of %s is settled, and still Quiet waits: %v", group, err)
		}
	}
}

// redriveSome drives some of the dead letters again, and waits until they came.
func (d *day) redriveSome() {
	if d.Capabilities&(DeadLetters|Quiescer) != DeadLetters|Quiescer {
		return
	}
	want := map[[2]string][]string{}
	for group, topics := range d.groups {
		for _, topic := range topics {
			for _, l := range d.letters(topic, group) {
				if d.n(2) == 0 {
					d.redrive(l)
					at := [2]string{group, topic}
					want[at] = append(want[at], l.Event.ID())
				}
			}
		}
	}
	d.awaitQuiet()
	d.mu.Lock()
	defer d.mu.Unlock()
	for at, ids := range want {
		for _, id := range ids {
			if !slices.Contains(d.again[at], id) {
				d.errorf("%s was driven again for %s on %s, and did not come, marked as redriven", id, at[0], at[1])
			}
		}
	}
}

// compareLetters compares the dead letters with what was settled so.
func (d *day) compareLetters() {
	if d.Capabilities&DeadLetters == 0 {
		return
	}
	for group, topics := range d.groups {
		for _, topic := range topics {
			may := map[string]bool{}
			for _, id := range d.dead[[2]string{group, topic}] {
				may[id] = true
			}
			for _, l := range d.letters(topic, group) {
				if !may[l.Event.ID()] {
					d.errorf("%s is a dead letter of %s on %s, which did not make it one", l.Event.ID(), group, topic)
				}
			}
		}
	}
}
