package servicetest

import (
	"net"
	"testing"
)

func TestFreePortsAreFree(t *testing.T) {
	for range 50 {
		p := freePorts(t, 9, 100, 200)
		if p < 20000 || p+208 >= 32768 {
			t.Fatal(p)
		}
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		t.Fatal(l.Addr())
	}
	if p := addr.Port; free(t, p, 1) || free(t, p-1, 2) {
		t.Errorf("%d is in use and called free", p)
	}
}
