package query

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

// Whatever comes tells of some queries, of all, or is our own.
func FuzzChanged(f *testing.F) {
	c := changesOf(bus.New(bus.Config{}))
	ours := &news{c: c}
	f.Add([]byte(`{"keys":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}`))
	f.Add([]byte(`{"all":true,"by":"x"}`))
	f.Add([]byte(`{"keys":["AA"]}`))
	f.Add([]byte(`{"by":"` + c.id + `","all":true}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, all := ours.hear(event.New("/x", typeChanged, data))
		require.False(t, all && len(keys) > 0)
		if !all && len(keys) == 0 {
			require.Contains(t, string(data), c.id)
		}
	})
}

// Where an encoding ends and a tenant begins is part of the key.
func TestKeys(t *testing.T) {
	seen := make(map[key]bool)
	long := string(make([]byte, 1000))
	sum := keyOf("", nil)
	for _, c := range [][2]string{{"", ""}, {"a", ""}, {"", "a"}, {"ab", ""}, {"a", "b"}, {"", "ab"}, {long, ""}, {"", long}, {"", string(sum[:])}} {
		k := keyOf(c[0], []byte(c[1]))
		require.False(t, seen[k], c)
		seen[k] = true
	}
}
