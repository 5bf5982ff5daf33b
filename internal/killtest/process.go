package killtest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// variable has what a process is to do.
const variable = "LEAT_TEST_TASK"

// Task reads into v what this process is to do, and reports whether [Start] started it at
// all. From then on it doesn't outlive its parent.
func Task(v any) bool {
	said := os.Getenv(variable)
	if said == "" {
		return false
	}
	if err := json.Unmarshal([]byte(said), v); err != nil {
		panic(err)
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin) // it ends with the parent
		Die()
	}()
	return true
}

// Die ends this process as kill -9 does: nothing is said, flushed or closed.
func Die() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(err)
	}
	select {}
}

// Process is one that [Start] started.
type Process struct {
	cmd     *exec.Cmd
	in      io.Closer
	working chan struct{}
	ended   chan struct{}
}

const working = "killtest: working\n"

// Start runs a test of this binary in a process of its own. Its [Task] is v. It
// ends with ctx.
func Start(ctx context.Context, test string, v any) (*Process, error) {
	task, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$") //nolint:gosec // ourselves
	p := &Process{cmd: cmd, working: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), variable+"="+string(task))
	p.cmd.Stderr = os.Stderr
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.follow(out)
	return p, nil
}

// follow reads what a process says until it ends.
func (p *Process) follow(out io.Reader) {
	defer close(p.ended)
	at, lines := false, bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if line == working && !at {
			at = true
			close(p.working)
		} else if line != "" {
			fmt.Fprint(os.Stderr, line) // why it failed
		}
		if err != nil {
			_ = p.cmd.Wait() // Killed tells
			return
		}
	}
}

// Working is closed when the process has come to a point: see [Points.Pass].
func (p *Process) Working() <-chan struct{} { return p.working }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Kill ends the process, and waits until it has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
	_ = p.in.Close()
}

// Killed reports whether a process that has ended was killed. One that wasn't has failed.
func (p *Process) Killed() bool {
	return p.cmd.ProcessState != nil && p.cmd.ProcessState.ExitCode() == -1
}
