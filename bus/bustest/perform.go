package bustest

import (
	"context"
	"fmt"
	"time"
)

// do lets an action happen.
func (s *simulation) do(a action) error {
	p := s.proc(a.proc)
	switch a.kind {
	case actContinue:
		s.resume(p.task(a))
	case actSettle:
		p.st.Settle(a.group)
	case actRun:
		s.begin(p, a)
	case actFetch:
		_, err := p.st.Fetch(context.Background(), a.group)
		return err
	case actPublish:
		return s.publish()
	case actWait:
		s.wait()
	case actCrash:
		s.faults--
		return s.crash(p)
	case actLose:
		s.faults--
		return s.lose(a)
	case actRepeat:
		s.faults--
		s.broker.repeat(s.settledEntry(a))
	}
	return nil
}

func (s *simulation) proc(n int) *process {
	for _, p := range s.procs {
		if p.n == n {
			return p
		}
	}
	return nil
}

// task returns the handler that an action names.
func (p *process) task(a action) *task {
	for _, t := range p.tasks {
		if t.group == a.group && t.entry == a.entry && t.at == a.step {
			return t
		}
	}
	return nil
}

func (s *simulation) begin(p *process, a action) {
	for i := range p.st.Runnable(a.group) {
		if s.broker.nameOf(p.st.Ready(a.group, i)) == a.entry {
			s.resume(p.run(a.group, i, a.entry))
			return
		}
	}
}

// resume lets a task go on.
func (s *simulation) resume(t *task) {
	s.on = t
	ended := t.resume()
	s.on = nil
	s.tellRun(t, ended)
}

func (s *simulation) publish() error {
	i := s.next
	s.next++
	if i < len(s.w.skip) && s.w.skip[i] {
		return nil
	}
	out := s.w.publishes[i]
	if s.story != nil {
		s.story.published = append(s.story.published, fmt.Sprintf("message-%d: %T%+v", i+1, out.v, out.v))
	}
	if err := s.procs[0].bus.Publish(context.Background(), out.v, out.opts...); err != nil {
		return fmt.Errorf("publish of message %d: %w", i+1, err)
	}
	return nil
}

// wait lets the time pass until something is due.
func (s *simulation) wait() {
	if at, any := s.nextDue(); any {
		time.Sleep(time.Until(at)) // virtual
	}
	for _, p := range s.procs {
		for g := range s.groups {
			p.st.Settle(g)
		}
	}
}

// crash kills a process and starts another, unless one is left.
func (s *simulation) crash(p *process) error {
	s.on = nil
	p.kill()
	for i, other := range s.procs {
		if other == p {
			s.procs = append(s.procs[:i:i], s.procs[i+1:]...)
		}
	}
	if len(s.procs) > 0 {
		return nil
	}
	_, err := s.boot()
	return err
}

// lose takes a delivery from a process that goes on; another one is there to get it.
func (s *simulation) lose(a action) error {
	for _, en := range s.broker.group(s.groups[a.group]).entries {
		if en.name == a.entry && en.holder != nil {
			s.broker.lose(en)
			break
		}
	}
	if len(s.procs) > 1 {
		return nil
	}
	_, err := s.boot()
	return err
}

func (s *simulation) settledEntry(a action) *entry {
	for _, en := range s.broker.group(s.groups[a.group]).settled {
		if en.name == a.entry && !en.repeated {
			return en
		}
	}
	return nil
}
