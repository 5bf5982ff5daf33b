package kafkatest

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
)

func TestBrokersReadsTheVariable(t *testing.T) {
	t.Setenv("LEAT_KAFKA", "127.0.0.1:1, 127.0.0.1:2")
	if got := Brokers(t); !slices.Equal(got, []string{"127.0.0.1:1", "127.0.0.1:2"}) {
		t.Error(got)
	}
}

func TestBrokersWithoutKafka(t *testing.T) {
	t.Setenv("LEAT_KAFKA", "")
	const help = `eval "$(test/services/up kafka)"`
	for _, c := range []struct{ required, ends string }{
		{"", "skip"},
		{"0", "skip"},
		{"1", "fatal"},
	} {
		t.Setenv("LEAT_REQUIRE_SERVICES", c.required)
		var r recorder
		r.run(func() { Brokers(&r) })
		if r.ended != c.ends || !strings.Contains(r.said, help) {
			t.Errorf("LEAT_REQUIRE_SERVICES=%q: %s, %q", c.required, r.ended, r.said)
		}
	}
}

// A recorder is a test that says how it ended.
type recorder struct {
	testing.TB

	ended, said string
}

func (r *recorder) Helper()           {}
func (r *recorder) Skip(args ...any)  { r.end("skip", args) }
func (r *recorder) Fatal(args ...any) { r.end("fatal", args) }

func (r *recorder) end(how string, args []any) {
	r.ended, r.said = how, fmt.Sprint(args...)
	runtime.Goexit()
}

func (r *recorder) run(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}
