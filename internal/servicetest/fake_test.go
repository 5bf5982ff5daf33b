package servicetest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// A fake is a script in a checkout of its own, in which the test runs from now on. It
// notes what it is told.
type fake struct{ log string }

// newFake makes test/services/name of a shell's code, which has the command in $1.
func newFake(t *testing.T, name, code string) fake {
	t.Helper()
	dir := t.TempDir()
	f := fake{log: filepath.Join(dir, "log")}
	services := filepath.Join(dir, "test", "services")
	if err := os.MkdirAll(services, 0o700); err != nil {
		t.Fatal(err)
	}
	code = "#!/bin/sh\nlog='" + f.log + "'\n" +
		`echo "$*" "port=$` + variable(name) + `_PORT" "state=$` + variable(name) + `_STATE" >>"$log"` + "\n" + code + "\n"
	if err := os.WriteFile(filepath.Join(services, name), []byte(code), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(services)
	return f
}

// A told is what a script was told once.
type told struct{ command, port, state string }

// told returns what it was told so far, but for guard, which comes at any time.
func (f fake) told(t *testing.T) []told {
	t.Helper()
	log, err := os.ReadFile(f.log)
	if err != nil {
		t.Fatal(err)
	}
	var all []told
	for line := range strings.Lines(string(log)) {
		command, rest, _ := strings.Cut(strings.TrimSpace(line), " port=")
		port, state, _ := strings.Cut(rest, " state=")
		if command != "guard" {
			all = append(all, told{command, port, state})
		}
	}
	return all
}

// commands returns them in order.
func commands(all []told) string {
	var s []string
	for _, a := range all {
		s = append(s, a.command)
	}
	return strings.Join(s, "|")
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
