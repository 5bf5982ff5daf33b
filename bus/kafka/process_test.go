package kafka_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/leat-go/leat/bus/kafka"
	"github.com/leat-go/leat/event"
)

// memberVariable names what a process of a member has to know.
const memberVariable = "LEAT_TEST_MEMBER"

type memberTask struct {
	Config  []string // brokers
	Topic   string
	Handler string // where to ask what a run comes to
}

// TestMemberProcess is a member in a process of its own, which the chaos starts.
func TestMemberProcess(t *testing.T) {
	said := os.Getenv(memberVariable)
	if said == "" {
		return // a part of TestChaos
	}
	var task memberTask
	require.NoError(t, json.Unmarshal([]byte(said), &task))
	ctx, stop := signal.NotifyContext(t.Context(), os.Interrupt)
	defer stop()
	go func() { // a child doesn't outlive its parent
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(1) //nolint:forbidigo // a process of the test
	}()
	b := newMember(kafka.New(kafka.Config{Brokers: task.Config, SessionTimeout: session}), task.Topic, func(ctx context.Context, id string) error {
		return ask(ctx, task.Handler, id)
	})
	require.NoError(t, b.Start(ctx))
	fmt.Println("started") //nolint:forbidigo // to the parent
	<-ctx.Done()
	require.NoError(t, b.Shutdown(context.WithoutCancel(ctx)))
}

// ask lets the parent handle an event.
func ask(ctx context.Context, handler, id string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, handler+"?id="+url.QueryEscape(id), http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusGone:
		return event.Permanent(errNever)
	}
	return event.RetryAfter(100*time.Millisecond, errAgain)
}

// serve answers members in other processes.
func (c *crowd) serve() string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch err := c.handle(r.Context(), r.URL.Query().Get("id")); {
		case err == nil:
		case errors.Is(err, errNever):
			w.WriteHeader(http.StatusGone)
		default:
			w.WriteHeader(http.StatusConflict)
		}
	}))
	c.t.Cleanup(server.Close)
	return server.URL
}

// process is a member in a process of its own.
type process struct {
	t   testing.TB
	cmd *exec.Cmd
	in  io.Closer
}

// spawn starts one, and waits until it has joined.
func (c *crowd) spawn(brokers []string, handler string) *process {
	task, err := json.Marshal(memberTask{brokers, c.topic, handler})
	require.NoError(c.t, err)
	cmd := exec.CommandContext(c.t.Context(), os.Args[0], "-test.run=^TestMemberProcess$")
	cmd.Env = append(os.Environ(), memberVariable+"="+string(task))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(c.t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(c.t, err)
	require.NoError(c.t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(c.t, err)
	require.Equal(c.t, "started\n", line)
	c.mu.Lock()
	c.joined++
	c.mu.Unlock()
	return &process{c.t, cmd, in}
}

// kill ends it as kill -9 does.
func (p *process) kill() {
	require.NoError(p.t, p.cmd.Process.Kill())
	_ = p.cmd.Wait()
	_ = p.in.Close()
}
