package orders_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A click becomes an order: the page shows how far it is, then the receipt, and what is
// left.
func TestOrder(t *testing.T) {
	s := open(t, "-pause", "500ms")
	p := browse(t).visit(t, s.url)
	p.shows("cup: 3 left")
	p.click("cup")
	state, said := p.ended()
	require.Equal(t, "succeeded", state)
	require.Subset(t, said, []string{"sending", "reserving, 20 %", "charging, 60 %", "done: receipt 1"})
	p.shows("cup: 2 left")
	require.Equal(t, []string{"cup"}, s.ordered(t))
}

// Two buyers want the last one: one gets it, and the other is told.
func TestTheLastOne(t *testing.T) {
	s := open(t, "-pause", "500ms")
	b := browse(t)
	tabs := []*tab{b.visit(t, s.url), b.visit(t, s.url)}
	for _, p := range tabs {
		p.click("moon")
	}
	last := map[string]string{}
	for _, p := range tabs {
		state, said := p.ended()
		last[state] = said[len(said)-1]
		p.shows("moon: 0 left")
	}
	require.Len(t, last, 2)
	require.True(t, strings.HasPrefix(last["succeeded"], "done: receipt "), last)
	require.Equal(t, "the last one is gone", last["failed"])
	require.Equal(t, []string{"moon"}, s.ordered(t))
}
