package servicetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// A script is one of test/services with the settings of one server.
type script struct {
	path string
	env  []string
}

// run returns what the script wrote to its standard output. It works in a Cleanup
// too, where the test's context has ended.
func (s script) run(args ...string) (string, error) { return s.pipe(nil, args...) }

// pipe is run with something to read for the script.
func (s script) pipe(stdin io.Reader, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute) // packages may have to be installed
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := s.command(ctx, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	if err := cmd.Run(); err != nil {
		// tools say what is wrong on either
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(s.path), args[0], err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

func (s script) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.path, args...)
	cmd.Env = append(os.Environ(), s.env...)
	cmd.WaitDelay = 5 * time.Second // a tool may outlive the script when ctx ends it
	return cmd
}

// guard sees to it that the server ends: when the returned function is called, or
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
			t.Errorf("%s can't be stopped: %v", filepath.Base(s.path), err)
		}
	}
}

// installed has, by a script's path, the function that installs its server once.
var installed sync.Map

// install puts a server in place, once a process, and returns the path of its script.
func install(name string) (string, error) {
	path, err := find(name)
	if err != nil {
		return "", err
	}
	once, _ := installed.LoadOrStore(path, sync.OnceValue(func() error {
		_, err := script{path: path}.run("install")
		return err
	}))
	return path, once.(func() error)()
}

// find looks for a script from the working directory upward: a test runs in the folder
// of its package.
func find(name string) (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		path := filepath.Join(dir, "test", "services", name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("test/services/%s is not here: this is no checkout of leat", name)
		}
		dir = up
	}
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
