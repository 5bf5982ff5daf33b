package servicetest

import (
	"math/rand/v2"
	"net"
	"regexp"
	"strconv"
	"testing"
)

// freePorts returns a port p such that p and each p+offset, and the n-1 ports after
// each, are free. They lie below those that Linux gives to outgoing connections.
func freePorts(t testing.TB, n int, offsets ...int) int {
	t.Helper()
	for range 1000 {
		// blocks of ten that don't overlap: 20000 … 20090, 20300 … 20390, and so on
		p := 20000 + 300*rand.IntN(42) + 10*rand.IntN(10)
		all := free(t, p, n)
		for _, o := range offsets {
			all = all && free(t, p+o, n)
		}
		if all {
			return p
		}
	}
	t.Fatal("no free ports between 20000 and 32600")
	return 0
}

func free(t testing.TB, from, n int) bool {
	t.Helper()
	for p := from; p < from+n; p++ {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

// taken is what the scripts and the servers say of a port that another program has.
var taken = regexp.MustCompile(`is taken by|BindException|(?i)address already in use|eaddrinuse|in use by another`)

func portTaken(err error) bool { return taken.MatchString(err.Error()) }
