package kafka

// settledSome resumes what was paused. The consumer is locked; the lane is to be
// steered.
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
		if t.main.settledSome() {
			ls = append(ls, &t.main)
		}
	}
	return ls
}

// steer lets the client read lanes, or not, as they want it. Reading and settling
// change that at the same time: whoever told the client last looks again.
func (s *session) steer(ls []*lane) {
	c := s.c
	for len(ls) > 0 {
		paused := make(map[*lane]bool)
		on, off := make(map[string][]int32), make(map[string][]int32)
		c.mu.Lock()
		for _, l := range ls {
			if paused[l] = l.paused; l.paused {
				off[l.topic] = append(off[l.topic], l.partition)
			} else {
				on[l.topic] = append(on[l.topic], l.partition)
			}
		}
		c.mu.Unlock()
		s.cl.PauseFetchPartitions(off)
		s.cl.ResumeFetchPartitions(on)
		var again []*lane
		c.mu.Lock()
		for _, l := range ls {
			if l.paused != paused[l] {
				again = append(again, l)
			}
		}
		c.mu.Unlock()
		ls = again
	}
}
