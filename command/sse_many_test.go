package command_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/command"
)

// pipes is a listener whose connections are in memory: a process has not so many descriptors.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
	case <-p.done:
	}
	return here
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// step is a command that a crowd watches.
type step struct{ N int }

// Ten thousand watch, of a hundred operations a hundred each, while one worker runs these: each
// sees the final state, a watcher has one goroutine of the server's, and leaves nothing.
func TestStreamTenThousand(t *testing.T) {
	const operations, each = 100, 100
	const watchers = operations * each
	ops := command.NewMemory(command.MemoryConfig{})
	b := bus.New(bus.Config{Channel: memory.New()})
	g := command.Gateway(b, command.GatewayConfig{
		Operations: ops, Authorize: allow, StreamsPerSubject: watchers, WriteTimeout: 10 * time.Minute, // a busy machine drops nobody
	})
	command.Expose[step](b)
	command.HandleResult(b, func(ctx context.Context, c step) (int, error) {
		return c.N, command.Progress(ctx, 50, "half")
	})
	require.NoError(t, b.Start(t.Context()))
	defer func() { require.NoError(t, b.Shutdown(context.Background())) }()
	require.NoError(t, b.Pause("step"))

	listener := newPipes()
	server := &http.Server{Handler: g, ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	before := runtime.NumGoroutine()
	heap := inUse()

	ids := make([]string, operations)
	for i := range ids {
		ids[i] = idOf(roundTrip(t, listener, fmt.Sprintf("POST /commands/step HTTP/1.1\r\nHost: x\r\nX-User: ann\r\nConnection: close\r\n"+
			"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n{\"N\":%d}", len(fmt.Sprintf(`{"N":%d}`, i)), i)))
	}
	var began, ended sync.WaitGroup
	finals := make(chan bool, watchers)
	for i := range watchers {
		began.Add(1)
		ended.Go(func() { finals <- watchPipe(listener.dial(), ids[i%operations], began.Done) })
	}
	began.Wait()
	require.LessOrEqual(t, runtime.NumGoroutine()-before, 3*watchers+200, "the server's two for a connection, and the client's")
	const most = 64 << 10
	require.Less(t, (inUse()-heap)/watchers, int64(most), "bytes for a watcher, net/http's buffers and the client included")

	require.NoError(t, b.Resume("step"))
	ended.Wait()
	close(finals)
	n := 0
	for final := range finals {
		if final {
			n++
		}
	}
	require.Equal(t, watchers, n)
	require.NoError(t, server.Close())
	require.ErrorIs(t, <-served, http.ErrServerClosed)
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before }, time.Minute, time.Millisecond)
}

func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// roundTrip makes a request and returns the Location of the answer.
func roundTrip(t *testing.T, p *pipes, request string) string {
	t.Helper()
	c := p.dial()
	defer c.Close()
	go func() { _, _ = io.WriteString(c, request) }()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	require.Equal(t, http.StatusAccepted, resp.StatusCode)
	return resp.Header.Get("Location")
}

// watchPipe watches an operation to the end of its stream, and reports whether the last event
// was its end. began is called when the first event has come.
func watchPipe(c net.Conn, id string, began func()) bool {
	defer c.Close()
	once := sync.OnceFunc(began)
	defer once()
	if _, err := fmt.Fprintf(c, "GET /operations/%s/events HTTP/1.1\r\nHost: x\r\nX-User: ann\r\nConnection: close\r\n\r\n", id); err != nil {
		return false
	}
	buf := make([]byte, 4<<10)
	var last []byte
	for {
		n, err := c.Read(buf)
		if i := bytes.LastIndex(buf[:n], []byte("data: ")); i >= 0 {
			last = append(last[:0], buf[i:n]...)
			once()
		}
		if err != nil {
			return bytes.Contains(last, []byte(`"final":true`))
		}
	}
}
