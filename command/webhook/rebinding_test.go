package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
)

// names is a name server that answers with the next of its addresses each time it is asked
// for one, and with the last from then on.
type names struct {
	mu      sync.Mutex
	answers [][]netip.Addr
	asked   int
}

func (s *names) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		go s.serve(server)
		return client, nil
	}}
}

func (s *names) next() []netip.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.answers[min(s.asked, len(s.answers)-1)]
	s.asked++
	return all
}

// serve answers questions as DNS over TCP does (RFC 1035, sections 4.1 and 4.2.2).
func (s *names) serve(conn net.Conn) {
	defer conn.Close()
	for {
		var size [2]byte
		if _, err := io.ReadFull(conn, size[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		end := 12
		for query[end] != 0 {
			end += int(query[end]) + 1
		}
		end += 5
		question := query[12:end]
		var records []byte
		var n uint16
		if binary.BigEndian.Uint16(question[len(question)-4:]) == 1 { // A
			for _, a := range s.next() {
				records = append(records, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4)
				records = append(records, a.AsSlice()...)
				n++
			}
		}
		reply := append([]byte{0, 0}, query[:2]...)
		reply = append(reply, 0x81, 0x80, 0, 1)
		reply = binary.BigEndian.AppendUint16(reply, n)
		reply = append(append(append(reply, 0, 0, 0, 0), question...), records...)
		binary.BigEndian.PutUint16(reply, uint16(len(reply)-2))
		if _, err := conn.Write(reply); err != nil {
			return
		}
	}
}

// either is whatever verdict.
const either event.VerdictKind = 255

var errStop = errors.New("no packet leaves a test")

// dialled notes what the guard lets pass, and stops it there if it isn't of this machine.
type dialled struct {
	mu     sync.Mutex
	passed []string
}

func (d *dialled) after(c control) control {
	return func(ctx context.Context, network, address string, raw syscall.RawConn) error {
		if err := c(ctx, network, address, raw); err != nil {
			return err
		}
		d.mu.Lock()
		d.passed = append(d.passed, address)
		d.mu.Unlock()
		if !netip.MustParseAddrPort(address).Addr().IsLoopback() {
			return errStop
		}
		return nil
	}
}

// A name that is public when it is looked up first, and of this machine then, leads nowhere.
func TestRebinding(t *testing.T) {
	var reached atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	defer srv.Close()
	u, err := url.Parse(srv.URL)
	require.NoError(t, err)
	public, loopback := netip.MustParseAddr("8.8.8.8"), netip.MustParseAddr("127.0.0.1")

	for name, c := range map[string]struct {
		answers [][]netip.Addr
		verdict []event.VerdictKind
		passed  []string
	}{
		"one after the other": {
			[][]netip.Addr{{public}, {loopback}},
			[]event.VerdictKind{event.Failed, event.FailedForGood, event.FailedForGood},
			[]string{"8.8.8.8:" + u.Port()},
		},
		"both at once": { // the resolver sorts them
			[][]netip.Addr{{public, loopback}},
			[]event.VerdictKind{either},
			[]string{"8.8.8.8:" + u.Port()},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &names{answers: c.answers}
			n, err := New(Config{
				AllowPlain: true, Resolver: s.resolver(),
				Targets: func(context.Context, command.Operation) ([]Target, error) {
					return []Target{{URL: "http://hooks.example.com:" + u.Port(), Secrets: []Secret{NewSecret()}}}, nil
				},
			})
			require.NoError(t, err)
			defer n.Close()
			var d dialled
			n.transport = newTransport(n.cfg, d.after(guard(false)))
			for i, want := range c.verdict {
				err := n.Notify(t.Context(), command.Operation{ID: "1", Version: 3})
				require.Error(t, err)
				if want != either {
					require.Equal(t, want, event.VerdictOf(err).Kind, err)
					require.Equal(t, want == event.FailedForGood, errors.Is(err, ErrAddress), err)
				}
				require.Equal(t, i+1, s.asked, "a name is looked up once for each dial")
			}
			require.Equal(t, c.passed, d.passed)
			require.Zero(t, reached.Load())
		})
	}
	// The name server does lead to the server where that is allowed.
	s := &names{answers: [][]netip.Addr{{loopback}}}
	n, err := New(Config{
		AllowPlain: true, AllowPrivate: true, Resolver: s.resolver(),
		Targets: func(context.Context, command.Operation) ([]Target, error) {
			return []Target{{URL: "http://hooks.example.com:" + u.Port(), Secrets: []Secret{NewSecret()}}}, nil
		},
	})
	require.NoError(t, err)
	defer n.Close()
	require.NoError(t, n.Notify(t.Context(), command.Operation{ID: "1"}))
	require.Equal(t, int64(1), reached.Load())
}
