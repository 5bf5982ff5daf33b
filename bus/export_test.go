package bus

import "fmt"

// LeftInHand tells what the groups of a Bus still have in hand, or "".
func LeftInHand(b *Bus) string {
	s := ""
	for _, g := range b.started() {
		g.mu.Lock()
		lines, gathered := 0, 0
		for _, front := range g.keys.buckets {
			if front != nil {
				lines++
			}
		}
		for _, at := range g.gatherings {
			gathered += at.n + at.first.len()
		}
		if g.inHand+g.aside+lines+gathered+g.held.Len()+g.ready.len()+len(g.pending) > 0 {
			s += fmt.Sprintf("group %s: %d in hand, %d aside, %d keys, %d gathered, %d held, %d ready, %d pending; ",
				g.name, g.inHand, g.aside, lines, gathered, g.held.Len(), g.ready.len(), len(g.pending))
		}
		g.mu.Unlock()
	}
	return s
}

// MostInHand returns how many items the groups of a Bus have ever made.
func MostInHand(b *Bus) int {
	n := 0
	for _, g := range b.started() {
		g.mu.Lock()
		n += len(g.all)
		g.mu.Unlock()
	}
	return n
}
