package channeltest

import "testing"

// tries is how often a case is begun on a channel that may take away what its members
// have in hand: a group that rebalances does, and nobody can tell it when.
const tries = 3

// runCase runs a case to its end, or to the end of patience. On a channel that isn't
// exact, a case that failed after something in hand was taken away has shown nothing:
// it is run again, under names of its own.
func runCase(t testing.TB, s *spec, c testCase) {
	t.Helper()
	for try := 1; ; try++ {
		e := newEnv(t, s, c)
		e.run(c.run)
		if try == tries || !e.excused() {
			e.report()
			return
		}
		t.Logf("try %d of %d shows nothing, since deliveries in hand were taken away; what happened:\n%s", try, tries, e.story.String())
	}
}

// excused reports whether a case failed though the channel may not be to blame.
func (e *env) excused() bool {
	return e.broken.Load() && e.shaken.Load() && !e.hangs && !e.Exact && !e.Faulty
}

// report tells the test what was broken.
func (e *env) report() {
	e.t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, text := range e.wrong {
		e.t.Errorf("%s", text)
	}
	if len(e.wrong) > 0 {
		e.t.Logf("what happened:\n%s", e.story.String())
	}
}
