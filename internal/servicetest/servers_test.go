package servicetest

import (
	"errors"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A question is what one sends to a server, and what is in its answer.
type question struct{ send, answer string }

// Each server does what Server promises.
func TestServers(t *testing.T) {
	for name, says := range map[string]struct {
		alive question
		keep  question // what is to outlive a kill
		kept  question
	}{
		"rabbitmq": {alive: question{"AMQP\x00\x00\x09\x01", "RabbitMQ"}},
		"redis": {
			alive: question{"PING\r\n", "+PONG"},
			keep:  question{"SET it kept\r\n", "+OK"},
			kept:  question{"GET it\r\n", "kept"},
		},
		"nats": {
			alive: question{"PING\r\n", "PONG"},
			keep: question{
				jetStream("STREAM.CREATE.kept", `{"name":"kept","subjects":["kept"],"storage":"file"}`), `"did_create":true`,
			},
			kept: question{jetStream("STREAM.NAMES", ""), `"streams":["kept"]`},
		},
		"postgres": {
			alive: question{"\x00\x00\x00\x21\x00\x03\x00\x00user\x00leat\x00database\x00leat\x00\x00", "SCRAM-SHA-256"},
		},
		"ministack": {alive: question{"GET / HTTP/1.0\r\n\r\n", "HTTP/1"}},
	} {
		var addr, state string
		t.Run(name, func(t *testing.T) {
			s := Start(t, name)
			addr, state = hostOf(t, s), stateOf(t, s)
			wantAnswer(t, dial(t, addr), says.alive)
			wantAnswer(t, dial(t, addr), says.keep)

			s.Kill()
			wantRefused(t, addr)
			s.Start()
			wantAnswer(t, dial(t, addr), says.alive)
			wantAnswer(t, dial(t, addr), says.kept)

			s.Pause()
			conn := dial(t, addr) // it accepts them still
			wantSilence(t, conn, says.alive)
			s.Resume()
			wantAnswer(t, conn, question{"", says.alive.answer})
			s.Pause()
			s.Start() // ends a pause as well
			wantAnswer(t, dial(t, addr), says.alive)
			s.Pause() // it ends all the same
		})
		if addr == "" {
			continue // skipped
		}
		wantRefused(t, addr)
		if _, err := os.Stat(state); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("data are left in %s: %v", state, err)
		}
	}
}

// jetStream is a request to NATS.
func jetStream(api, body string) string {
	return "CONNECT {}\r\nSUB answers 1\r\nPUB $JS.API." + api + " answers " + strconv.Itoa(len(body)) + "\r\n" + body + "\r\n"
}

func hostOf(t *testing.T, s *Server) string {
	t.Helper()
	if !strings.Contains(s.Addr(), "://") {
		return s.Addr()
	}
	u, err := url.Parse(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

func stateOf(t *testing.T, s *Server) string {
	t.Helper()
	state, err := s.Pipe(nil, "state")
	if err != nil {
		t.Fatal(err)
	}
	state = strings.TrimSpace(state)
	if _, err := os.Stat(state); err != nil {
		t.Fatal(err)
	}
	return state
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func wantAnswer(t *testing.T, conn net.Conn, q question) {
	t.Helper()
	if got, err := ask(t, conn, q, 10*time.Second); err != nil {
		t.Fatalf("%q answers %q, not %q: %v", q.send, got, q.answer, err)
	}
}

func wantSilence(t *testing.T, conn net.Conn, q question) {
	t.Helper()
	if got, err := ask(t, conn, q, 500*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) || got != "" {
		t.Errorf("a paused server says %q, %v", got, err)
	}
}

// ask returns all that was said up to the answer.
func ask(t *testing.T, conn net.Conn, q question, patience time.Duration) (string, error) {
	t.Helper()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write([]byte(q.send)); err != nil {
		return "", err
	}
	var got []byte
	for buf := make([]byte, 4096); !strings.Contains(string(got), q.answer); {
		n, err := conn.Read(buf)
		if err != nil {
			return string(got), err
		}
		got = append(got, buf[:n]...)
	}
	return string(got), nil
}

func wantRefused(t *testing.T, addr string) {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	if err == nil {
		defer conn.Close()
		t.Fatalf("something listens on %s still", addr)
	}
}
