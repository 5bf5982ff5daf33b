package main

import (
	"maps"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name    string
		in      string
		noskip  bool
		verbose bool

		passed, failed, skipped int

		says  []string
		hides string
		why   map[string]int
	}{
		{
			name: "tests and subtests count, packages don't",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Elapsed":1.5}`,
			passed: 2,
			says:   []string{"ok    p 1.5s\n"},
			hides:  "chatter",
		},
		{
			name: "a failure shows its output",
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"want 1, got 2\n"}
{"Action":"fail","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestB"}
{"Action":"output","Package":"p","Output":"FAIL\n"}
{"Action":"fail","Package":"p"}`,
			passed: 1, failed: 1,
			says: []string{"want 1, got 2\n", "FAIL  p TestA: failed\n"},
		},
		{
			name: "skips count, by their reason",
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:6: tries\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:7: NO KAFKA: start one\n"}
{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestB","Output":"    b_test.go:9: NO KAFKA: start one\n"}
{"Action":"skip","Package":"p","Test":"TestB"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"pass","Package":"p"}`,
			skipped: 3,
			says:    []string{"ok    p"},
			why:     map[string]int{"NO KAFKA: start one": 2, "no reason given": 1},
		},
		{
			name:   "with -noskip a skip is a failure",
			noskip: true,
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"no server\n"}
{"Action":"skip","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p"}`,
			failed: 1,
			says:   []string{"no server\n", "FAIL  p TestA: skipped"},
		},
		{
			name:    "with -v all output is shown",
			verbose: true,
			in: `{"Action":"output","Package":"p","Test":"TestA","Output":"chatter\n"}
{"Action":"pass","Package":"p","Test":"TestA"}`,
			passed: 1,
			says:   []string{"chatter\n"},
		},
		{
			name: "a package without test files is no skip",
			in: `{"Action":"output","Package":"q","Output":"no test files\n"}
{"Action":"skip","Package":"q"}
{"Action":"pass","Package":"p","Test":"TestA"}`,
			passed: 1,
			hides:  "no test files",
		},
		{
			name: "a package that doesn't build is a failure",
			in: `{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}
{"ImportPath":"p","Action":"build-fail"}
{"Action":"output","Package":"p","Output":"FAIL p [build failed]\n"}
{"Action":"fail","Package":"p","FailedBuild":"p"}`,
			failed: 1,
			says:   []string{"undefined: x\n", "FAIL p [build failed]\n"},
		},
		{
			name: "a package that dies shows what ran",
			in: `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"panic: boom\n"}
{"Action":"fail","Package":"p"}`,
			failed: 1,
			says:   []string{"panic: boom\n", "FAIL  p: failed\n"},
		},
		{
			name:   "other lines pass through",
			in:     "go: downloading x\n" + `{"Action":"pass","Package":"p","Test":"TestA"}`,
			passed: 1,
			says:   []string{"go: downloading x\n"},
		},
		{name: "nothing is a failure", failed: 1, says: []string{"no test ran"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out strings.Builder
			s := sum{noskip: c.noskip, verbose: c.verbose}
			if err := s.read(strings.NewReader(c.in), &out); err != nil {
				t.Fatal(err)
			}
			if s.passed != c.passed || s.failed != c.failed || s.skipped != c.skipped {
				t.Errorf("%d passed, %d failed, %d skipped; want %d, %d, %d",
					s.passed, s.failed, s.skipped, c.passed, c.failed, c.skipped)
			}
			if !maps.Equal(s.why, c.why) {
				t.Errorf("skipped for %v, want %v", s.why, c.why)
			}
			for _, say := range c.says {
				if !strings.Contains(out.String(), say) {
					t.Errorf("doesn't say %q:\n%s", say, &out)
				}
			}
			if c.hides != "" && strings.Contains(out.String(), c.hides) {
				t.Errorf("says %q:\n%s", c.hides, &out)
			}
		})
	}
}
