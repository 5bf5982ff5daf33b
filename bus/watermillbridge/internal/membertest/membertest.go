// Package membertest runs members of a group in processes of their own, which tests kill
// in the middle of what they do. It is for the tests of the packages beside it.
package membertest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestName is the test that a member's process runs. It does what [Task] says.
const TestName = "TestMemberProcess"

const variable = "LEAT_TEST_BRIDGE_MEMBER"

// Task returns what this process is to do as a member; "": it is none.
func Task() string { return os.Getenv(variable) }

// Handler returns the handler of a member's process: it tells the parent what it is at,
// and ends when the parent lets it. The process ends with its parent.
func Handler() func(ctx context.Context, id string) error {
	let := make(chan struct{})
	go func() {
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			let <- struct{}{}
		}
		os.Exit(1) //nolint:forbidigo // a process of a test
	}()
	say := func(what, id string) { fmt.Println(what, id) } //nolint:forbidigo // to the parent
	return func(ctx context.Context, id string) error {
		say("at", id)
		select {
		case <-let:
			say("done", id)
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// Member is a member in a process of its own.
type Member struct {
	t    testing.TB
	cmd  *exec.Cmd
	in   io.WriteCloser
	said chan string
	at   string // what its handler is at
}

// Start starts a member.
func Start(tb testing.TB, task string) *Member {
	tb.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), os.Args[0], "-test.run=^"+TestName+"$") //nolint:gosec // itself
	cmd.Env = append(os.Environ(), variable+"="+task)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	m := &Member{t: tb, cmd: cmd, in: in, said: make(chan string, 1<<16)}
	go func() {
		defer close(m.said)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			m.said <- lines.Text()
		}
	}()
	tb.Cleanup(m.Kill)
	return m
}

// Next lets the handler that is at work end, notes what it handled in done, and waits for
// the next until patience is over. It reports whether one is at work.
func (m *Member) Next(patience time.Duration, done map[string]int) bool {
	m.t.Helper()
	if m.at != "" {
		if _, err := io.WriteString(m.in, "go\n"); err != nil {
			m.t.Fatal(err)
		}
		m.at = ""
	}
	late := time.After(patience)
	for {
		select {
		case line, ok := <-m.said:
			if !ok {
				m.t.Fatal("the member's process has ended")
			}
			what, id, _ := strings.Cut(line, " ")
			switch what {
			case "at":
				m.at = id
				return true
			case "done":
				done[id]++
			}
		case <-late:
			return false
		}
	}
}

// Kill ends the process as kill -9 does.
func (m *Member) Kill() {
	_ = m.cmd.Process.Kill()
	_ = m.cmd.Wait()
	_ = m.in.Close()
}

// Counts is what became of events.
type Counts struct{ Handled, Lost, Again int }

// Count tells what became of events of which so many were handled to the end.
func Count(ids []string, done map[string]int) (c Counts) {
	for _, id := range ids {
		switch n := done[id]; {
		case n == 0:
			c.Lost++
		case n > 1:
			c.Again++
			fallthrough
		default:
			c.Handled++
		}
	}
	return c
}
