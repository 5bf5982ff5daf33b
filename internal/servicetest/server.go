package servicetest

import (
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"testing"
)

// A Server is a private one, for a test that breaks it. Kill, Start, Pause and Resume
// fail the test when they can't do what they are to do, so they belong into the test's
// own goroutine.
type Server struct {
	t      testing.TB
	name   string
	script script
	vars   map[string]string // what the script exported
}

// An Option is for [Start].
type Option func(*config)

type config struct {
	args, env []string
	width     int
	offsets   []int
}

// WithArgs hands arguments to the script's start.
func WithArgs(args ...string) Option { return func(c *config) { c.args = append(c.args, args...) } }

// WithEnv adds settings of the script, each "NAME=value".
func WithEnv(env ...string) Option { return func(c *config) { c.env = append(c.env, env...) } }

// WithPorts says which ports the server takes, if its port is p: n (1 to 10) from p on,
// and as many from p+offset on for each offset, which is a multiple of 100 up to 200.
// Without it these are three from p on.
func WithPorts(n int, offsets ...int) Option {
	return func(c *config) { c.width, c.offsets = n, offsets }
}

// Start starts the server test/services/name on free ports of 127.0.0.1 and waits until it
// serves, which takes up to ten seconds. It ends with the test, and also if the test's
// process dies; its data go with it.
//
// Where the server can't be put in place the test is skipped; with
// LEAT_REQUIRE_SERVICES=1 it fails.
func Start(t testing.TB, name string, opts ...Option) *Server {
	t.Helper()
	conf := config{width: 3}
	for _, o := range opts {
		o(&conf)
	}
	path, err := install(name)
	if err != nil {
		// the first line is what a summary of skipped tests shows
		missing(t, name, fmt.Sprintf("it can't be put in place. Run: test/services/%s install\n%v", name, err))
	}
	for tries := 5; ; tries-- {
		s := script{path: path, env: append([]string{
			variable(name) + "_STATE=" + filepath.Join(t.TempDir(), name),
			variable(name) + "_PORT=" + strconv.Itoa(freePorts(t, conf.width, conf.offsets...)),
		}, conf.env...)}
		stop := s.guard(t)
		out, err := s.run(append([]string{"start"}, conf.args...)...)
		if err == nil {
			t.Cleanup(stop)
			return &Server{t: t, name: name, script: s, vars: exports(out)}
		}
		stop()
		if tries == 1 || !portTaken(err) { // by another program, since we looked
			t.Fatal(err)
		}
	}
}

// Addr returns where the server is, in the form of [Addr].
func (s *Server) Addr() string { return s.Var(variable(s.name)) }

// Var returns a variable that the script exported, or "".
func (s *Server) Var(name string) string { return s.vars[name] }

// Kill ends the server as a crash does. Its data stay, but those it has in memory alone.
func (s *Server) Kill() { s.t.Helper(); s.Do("kill") }

// Start starts the server again after Kill, on its data, or ends a Pause, and waits until
// it serves.
func (s *Server) Start() { s.t.Helper(); s.Do("start") }

// Pause makes the server hang: its connections stay open, and nothing answers.
func (s *Server) Pause() { s.t.Helper(); s.Do("pause") }

// Resume ends a Pause.
func (s *Server) Resume() { s.t.Helper(); s.Do("resume") }

// Do runs a command of the server's script, and fails the test if that fails.
func (s *Server) Do(command string, args ...string) {
	s.t.Helper()
	if _, err := s.Pipe(nil, command, args...); err != nil {
		s.t.Fatal(err)
	}
}

// Pipe runs a command of the server's script with something to read, or nil, and returns
// what it wrote to its standard output. It may be called from any goroutine.
func (s *Server) Pipe(stdin io.Reader, command string, args ...string) (string, error) {
	return s.script.pipe(stdin, append([]string{command}, args...)...)
}
