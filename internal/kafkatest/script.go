package kafkatest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A script is test/services/kafka with the settings of one cluster.
type script struct {
	path string
	env  []string
}

// run returns what the script wrote to its standard output. It works in a Cleanup
// too, where the test's context has ended.
func (s script) run(args ...string) (string, error) { return s.pipe(nil, args...) }

// pipe is run with something to read for the script.
func (s script) pipe(stdin io.Reader, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kafka %s: %w\n%s%s", args[0], err, &stdout, &stderr) // tools say what is wrong on either
	}
	return stdout.String(), nil
}

func (s script) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.path, args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.WaitDelay = 5 * time.Second // a tool may outlive the script when ctx ends it
	return cmd
}

// guard sees to it that the cluster ends: when the returned function is called, or
// when this process dies, since that closes the pipe on which the guard waits.
func (s script) guard(t testing.TB) (stop func()) {
	t.Helper()
	cmd := s.command(context.Background(), "guard")
	pipe, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := errors.Join(pipe.Close(), cmd.Wait()); err != nil {
			t.Errorf("the cluster can't be stopped: %v", err)
		}
	}
}

// installed puts Kafka in place, once a process, and returns the script's path.
var installed = sync.OnceValues(func() (string, error) {
	path, err := findScript()
	if err != nil {
		return "", err
	}
	_, err = script{path: path}.run("install")
	return path, err
})

// findScript looks for the script from the working directory upward: a test runs in
// the folder of its package.
func findScript() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "test", "services", "kafka")
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("test/services/kafka is not here: this is no checkout of leat")
		}
		dir = up
	}
}

// freePorts returns a port p such that p, p+100 and p+200, and the n-1 ports after
// each, are free. They lie below those that Linux gives to outgoing connections.
func freePorts(t testing.TB, n int) int {
	t.Helper()
	for range 1000 {
		// blocks of ten that don't overlap: 20000 … 20090, 20300 … 20390, and so on
		p := 20000 + 300*rand.IntN(42) + 10*rand.IntN(10)
		if free(t, p, n) && free(t, p+100, n) && free(t, p+200, n) {
			return p
		}
	}
	t.Fatal("no free ports between 20000 and 32600")
	return 0
}

func free(t testing.TB, from, n int) bool {
	t.Helper()
	for p := from; p < from+n; p++ {
		l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p)))
		if err != nil {
			return false
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return true
}

func portTaken(err error) bool {
	return strings.Contains(err.Error(), "is taken by") || strings.Contains(err.Error(), "BindException")
}

// exports reads lines of the form "export NAME=value".
func exports(out string) map[string]string {
	vars := map[string]string{}
	for line := range strings.Lines(out) {
		if line, ok := strings.CutPrefix(strings.TrimSpace(line), "export "); ok {
			name, value, _ := strings.Cut(line, "=")
			vars[name] = value
		}
	}
	return vars
}
