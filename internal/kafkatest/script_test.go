package kafkatest

import (
	"errors"
	"net"
	"strconv"
	"strings"
	"testing"
)

func TestFreePortsAreFree(t *testing.T) {
	for range 50 {
		p := freePorts(t, 9)
		if p < 20000 || p+208 >= 32768 {
			t.Fatal(p)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	p, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	if free(t, p, 1) || free(t, p-1, 2) {
		t.Errorf("%d is in use and called free", p)
	}
}

func TestClusterWithoutKafka(t *testing.T) {
	before := installed
	defer func() { installed = before }()
	installed = func() (string, error) { return "", errors.New("java is missing") }
	for required, ends := range map[string]string{"": "skip", "1": "fatal"} {
		t.Setenv("LEAT_REQUIRE_SERVICES", required)
		var r recorder
		r.run(func() { NewCluster(&r, 1) })
		if r.ended != ends || !strings.Contains(r.said, "java is missing") || !strings.Contains(r.said, "test/services/kafka install") {
			t.Errorf("LEAT_REQUIRE_SERVICES=%q: %s, %q", required, r.ended, r.said)
		}
	}
}

func TestNotACheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	if path, err := findScript(); err == nil {
		t.Error(path)
	}
}
