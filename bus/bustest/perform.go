package bustest

import (
	"context"
	"fmt"
	"slices"
	"testing/synctest"
	"time"
)

// do lets an action happen.
func (s *simulation) do(a action) error {
	p := s.proc(a.proc)
	g := int(a.group)
	switch a.kind {
	case actContinue:
		s.resume(s.task(a))
	case actSettle:
		p.st.Settle(g)
	case actGiveBack:
		p.st.GiveBack(g)
	case actRun:
		s.begin(p, a)
	case actFetch:
		_, err := p.st.Fetch(context.Background(), g)
		return err
	case actPublish:
		return s.publish()
	case actWait:
		return s.wait()
	case actCrash:
		return s.crash(p)
	case actLose:
		return s.lose(a)
	case actRepeat:
		s.broker.repeat(s.settledEntry(a))
	case actJoin:
		return s.boot()
	case actEnd:
	}
	return nil
}

func (s *simulation) proc(n int16) *process {
	for _, p := range s.procs {
		if p.n == n {
			return p
		}
	}
	return nil
}

// task returns the handler that goes on in an action.
func (s *simulation) task(a action) *task {
	p := s.proc(a.proc)
	for i, t := range p.tasks {
		if p.goesOn(i) == a {
			return t
		}
	}
	return nil
}

func (s *simulation) begin(p *process, a action) {
	g := int(a.group)
	for i := range p.st.Runnable(g) {
		if s.broker.entryOf(p.st.Ready(g, i)).name == a.entry {
			s.resume(p.run(g, i))
			return
		}
	}
}

// resume lets a task go on.
func (s *simulation) resume(t *task) {
	s.on.Store(t)
	ended := t.resume()
	s.on.Store(nil)
	s.tellRun(t, ended)
}

func (s *simulation) publish() error {
	i := s.next
	s.next++
	if s.w.skips(i) {
		return nil
	}
	out := s.w.publishes[i]
	if s.story != nil {
		s.story.published = append(s.story.published, fmt.Sprintf("message-%d: %T%+v", i+1, out.v, out.v))
	}
	if err := s.procs[0].bus.Publish(context.Background(), out.v, out.opts...); err != nil {
		return fmt.Errorf("the publish of message-%d, a %T, is refused: %w", i+1, out.v, err)
	}
	return nil
}

// wait lets the time pass until something is due.
func (s *simulation) wait() error {
	if at, waits := s.nextDue(); waits {
		if at.Sub(s.began) > longestRun {
			return s.endless()
		}
		time.Sleep(time.Until(at)) // virtual
	}
	for _, p := range s.procs {
		for g := range s.groups {
			p.st.Settle(g)
		}
	}
	return nil
}

// crash kills a process and starts another, unless one is left.
func (s *simulation) crash(p *process) error {
	p.kill()
	i := slices.Index(s.procs, p)
	s.procs = slices.Delete(s.procs, i, i+1)
	if len(s.procs) > 0 {
		return nil
	}
	return s.boot()
}

// lose takes a key from a process that goes on; another one is there to get it. Its
// handler stalls: that is how leases are lost.
func (s *simulation) lose(a action) error {
	p, together := s.proc(a.proc), false
	for _, en := range s.brokerGroup(int(a.group)).entries {
		if en.name != a.entry || en.holder != p.endpoint {
			continue
		}
		for _, t := range p.tasks {
			if t.loses(en) {
				t.lost, t.stalled = true, true
				together = together || t.batch != nil
			}
		}
		s.broker.lose(en)
		if together { // the end of one delivery ends the batch's context by a goroutine
			synctest.Wait()
		}
		break
	}
	if len(s.procs) > 1 {
		return nil
	}
	return s.boot()
}

func (s *simulation) settledEntry(a action) *entry {
	for _, en := range s.brokerGroup(int(a.group)).settled {
		if en.name == a.entry && !en.repeated {
			return en
		}
	}
	return nil
}
