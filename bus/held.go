package bus

import "container/heap"

// heldHeap are the items that wait in hand for their time, earliest first.
type heldHeap []*item

// putHeld lets an item wait until it is due. mu is held.
func (g *group) putHeld(it *item) {
	heap.Push(&g.held, it)
	if it.roomless {
		it.aside = line(it)
		g.aside += it.aside
	}
	if it.heapIndex == 1 { // the keeper has to be there in time
		signal(g.kick)
	}
}

// unhold takes an item out before or when it is due. mu is held.
func (g *group) unhold(it *item) {
	heap.Remove(&g.held, it.heapIndex-1)
	g.aside -= it.aside
	it.aside, it.roomless = 0, false
}

// Len is the number of items.
func (h *heldHeap) Len() int { return len(*h) }

// Less puts what is due first in front, and of those what came first.
func (h *heldHeap) Less(i, j int) bool {
	a, b := (*h)[i], (*h)[j]
	return a.due.Before(b.due) || a.due.Equal(b.due) && a.order-b.order < 0
}

// Swap swaps two items.
func (h *heldHeap) Swap(i, j int) {
	s := *h
	s[i], s[j] = s[j], s[i]
	s[i].heapIndex, s[j].heapIndex = i+1, j+1
}

// Push appends an item.
func (h *heldHeap) Push(x any) {
	it := x.(*item) //nolint:forcetypeassert // heap.Push is called with items only
	*h = append(*h, it)
	it.heapIndex = len(*h)
}

// Pop takes the last item.
func (h *heldHeap) Pop() any {
	old := *h
	n := len(old)
	it := old[n-1]
	old[n-1] = nil
	*h = old[:n-1]
	it.heapIndex = 0
	return it
}
