package servicetest

import (
	"strings"
	"testing"
)

func TestAddrReadsTheVariable(t *testing.T) {
	t.Setenv("LEAT_RABBITMQ", "amqp://127.0.0.1:1/ ")
	if got := Addr(t, "rabbitmq"); got != "amqp://127.0.0.1:1/" {
		t.Error(got)
	}
}

func TestAddrWithoutServer(t *testing.T) {
	t.Setenv("LEAT_RABBITMQ", "")
	const help = `NO RABBITMQ: LEAT_RABBITMQ is not set. Run: eval "$(test/services/up rabbitmq)"`
	for _, c := range []struct{ required, ends string }{
		{"", "skip"},
		{"0", "skip"},
		{"1", "fatal"},
	} {
		t.Setenv("LEAT_REQUIRE_SERVICES", c.required)
		var r recorder
		r.run(func() { Addr(&r, "rabbitmq") })
		if r.ended != c.ends || !strings.Contains(r.said, help) {
			t.Errorf("LEAT_REQUIRE_SERVICES=%q: %s, %q", c.required, r.ended, r.said)
		}
	}
}
