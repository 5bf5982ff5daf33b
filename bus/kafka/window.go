package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"
)

// fill reports whether the lane is to be paused. The consumer is locked; the lane is to
// be steered.
func (l *lane) fill() bool {
	if l.paused || l.open() < most {
		return false
	}
	l.paused = true
	return true
}

// chokes is an error when a lane is paused for delayed events: others wait for them.
func (l *lane) chokes() error {
	if l.count[delayed] < resume {
		return nil
	}
	return fmt.Errorf("kafka: group %q, topic %q, partition %d: %d delayed events are held: no more is read until some are due; "+
		"with Config.DelayTopics they don't get in the way", l.t.c.sub.Group, l.topic, l.partition, l.count[delayed])
}

// settledSome reports whether the lane, which was paused, is to be read again. The
// consumer is locked; the lane is to be steered.
func (l *lane) settledSome() bool {
	if !l.paused || l.open() > resume {
		return false
	}
	l.paused = false
	return true
}

// resumable returns the lanes that are read again. The consumer is locked.
func (c *consumer) resumable() (ls []*lane) {
	for _, t := range c.tenures {
		for _, l := range [...]*lane{&t.main, &t.again} {
			if l.settledSome() {
				ls = append(ls, l)
			}
		}
	}
	return ls
}

// steer lets the clients read lanes, or not, as they want it. Reading and settling
// change that at the same time: whoever told a client last looks again.
func (c *consumer) steer(ls []*lane) {
	for _, l := range ls {
		c.steered(&l.paused, l.tell)
	}
}

// steered tells a client what is wanted, until that is what it was told last.
func (c *consumer) steered(wanted *bool, tell func(bool)) {
	c.mu.Lock()
	want := *wanted
	c.mu.Unlock()
	for told := !want; told != want; {
		told = want
		tell(told)
		c.mu.Lock()
		want = *wanted
		c.mu.Unlock()
	}
}

// tell lets the client read the lane, or not.
func (l *lane) tell(paused bool) {
	cl, ps := l.t.s.clientOf(l), map[string][]int32{l.topic: {l.partition}}
	if paused {
		cl.PauseFetchPartitions(ps)
		return
	}
	cl.ResumeFetchPartitions(ps)
	signal(l.t.s.resumed)
}

// clientOf returns the client that reads a lane.
func (s *session) clientOf(l *lane) *kgo.Client {
	if l.redrive {
		return s.side.cl
	}
	return s.cl
}
