package query

import "slices"

// place is what a model is done with in a lane: all up to an offset, ranges beyond it, and
// of these what is dead and may come again.
type place struct {
	offset int64
	beyond []stretch // in order, apart from each other
	dead   map[int64]struct{}
}

// stretch is a range of offsets, both ends included.
type stretch struct{ from, to int64 }

// has reports whether an offset is done with, dead or not.
func (p *place) has(offset int64) bool {
	return offset <= p.offset || slices.ContainsFunc(p.near(offset), func(s stretch) bool { return s.from <= offset && offset <= s.to })
}

// near returns the only stretch that can have an offset, or none.
func (p *place) near(offset int64) []stretch {
	i, _ := slices.BinarySearchFunc(p.beyond, offset, func(s stretch, o int64) int {
		if s.to < o {
			return -1
		}
		return 1
	})
	if i == len(p.beyond) {
		return nil
	}
	return p.beyond[i : i+1]
}

// isDead reports whether an offset is done with, and may come again.
func (p *place) isDead(offset int64) bool {
	_, dead := p.dead[offset]
	return dead
}

// add adds a range. What touches becomes one.
func (p *place) add(from, to int64) {
	from = max(from, 1)
	first, _ := slices.BinarySearchFunc(p.beyond, from-1, func(s stretch, o int64) int {
		if s.to < o {
			return -1
		}
		return 1
	})
	last := first
	for last < len(p.beyond) && p.beyond[last].from <= to+1 {
		from, to = min(from, p.beyond[last].from), max(to, p.beyond[last].to)
		last++
	}
	if from <= p.offset+1 {
		p.offset = max(p.offset, to)
		p.beyond = slices.Delete(p.beyond, 0, last)
		return
	}
	p.beyond = slices.Replace(p.beyond, first, last, stretch{from, to})
}

// die notes that an offset is dead, unless it is done with.
func (p *place) die(offset, gap int64) {
	fresh := !p.has(offset)
	p.add(offset-gap, offset)
	if !fresh {
		return
	}
	if p.dead == nil {
		p.dead = make(map[int64]struct{})
	}
	p.dead[offset] = struct{}{}
}

// live notes that an offset is done with for good.
func (p *place) live(offset, gap int64) {
	p.add(offset-gap, offset)
	delete(p.dead, offset)
}

// covers reports whether p is done with all that another one is done with.
func (p *place) covers(o *place) bool {
	if o == nil {
		return true
	}
	if !p.coversRange(1, o.offset) {
		return false
	}
	return !slices.ContainsFunc(o.beyond, func(s stretch) bool { return !p.coversRange(s.from, s.to) })
}

func (p *place) coversRange(from, to int64) bool {
	if to <= p.offset {
		return true
	}
	from = max(from, p.offset+1)
	return slices.ContainsFunc(p.near(from), func(s stretch) bool { return s.from <= from && to <= s.to })
}
