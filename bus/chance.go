package bus

// chance returns the number that the random waits of an event in a group follow
// from: FNV-1a over names. Waits differ from event to event as if they were random,
// and a test in virtual time sees the same ones again.
func chance(names ...string) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, name := range names {
		for i := range len(name) {
			h = (h ^ uint64(name[i])) * prime
		}
		h *= prime // keeps ("ab", "c") and ("a", "bc") apart
	}
	return h
}

// chance is that of a delivery in the group.
func (g *group) chance(it *item) uint64 {
	return chance(g.wire, it.d.Topic, it.d.Event.Source(), it.d.Event.ID())
}
