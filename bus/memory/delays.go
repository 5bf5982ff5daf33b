package memory

import "time"

// never is the time of a timer that is not needed.
const never = int64(1<<63 - 1)

// until returns how long it is until t by the wall clock.
func until(t time.Time) int64 { return int64(time.Until(t)) }

// delay puts a slot among the delays.
func (g *group) delay(si int32, st state, after int64) {
	s := &g.slots.all[si]
	s.state = st
	now := g.c.now()
	if s.due = now + after; s.due < now {
		s.due = never - 1
	}
	g.delays = append(g.delays, si)
	s.heap = int32(len(g.delays))
	g.up(len(g.delays) - 1)
	if g.delays[0] == si {
		g.wakeIdle()
	}
}

// undelay takes a slot out of the delays.
func (g *group) undelay(si int32) {
	i := int(g.slots.all[si].heap) - 1
	last := len(g.delays) - 1
	g.swap(i, last)
	g.delays = g.delays[:last]
	g.slots.all[si].heap = 0
	if i < last {
		g.down(i)
		g.up(i)
	}
	if last == 0 {
		g.delays = nil
	}
}

func (g *group) earlier(i, j int) bool {
	a, b := &g.slots.all[g.delays[i]], &g.slots.all[g.delays[j]]
	if a.due != b.due {
		return a.due < b.due
	}
	return a.offset < b.offset
}

func (g *group) swap(i, j int) {
	g.delays[i], g.delays[j] = g.delays[j], g.delays[i]
	g.slots.all[g.delays[i]].heap = int32(i + 1)
	g.slots.all[g.delays[j]].heap = int32(j + 1)
}

func (g *group) up(i int) {
	for i > 0 && g.earlier(i, (i-1)/2) {
		g.swap(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (g *group) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(g.delays) {
			return
		}
		if c+1 < len(g.delays) && g.earlier(c+1, c) {
			c++
		}
		if !g.earlier(c, i) {
			return
		}
		g.swap(i, c)
		i = c
	}
}

// nextTime returns when advance has something to do, or never.
func (g *group) nextTime() int64 {
	next := never
	if len(g.delays) > 0 {
		next = g.slots.all[g.delays[0]].due
	}
	if g.crashed > 0 {
		for _, m := range g.members {
			if m.state == memberCrashed {
				next = min(next, m.expires)
			}
		}
	}
	return next
}

// advance makes ready what is due, takes their deliveries from crashed members whose
// lease has ended, and moves what waits behind parked keys. There is no clock of its
// own: whoever waits for the group calls it in time.
func (g *group) advance() (end ending) {
	if len(g.delays) == 0 && g.crashed == 0 && g.parked == 0 {
		return end
	}
	now := g.c.now()
	g.ripen(now)
	if g.crashed > 0 {
		g.expire(now, &end)
	}
	g.moveBehind(&end)
	return end
}

// ripen makes ready what is due.
func (g *group) ripen(now int64) {
	for len(g.delays) > 0 {
		si := g.delays[0]
		s := &g.slots.all[si]
		if s.due > now {
			break
		}
		g.undelay(si)
		if s.lane == 0 {
			g.giveReady(si, false)
			continue
		}
		s.state = stateReady
		g.arrange(s.lane, false)
	}
}
