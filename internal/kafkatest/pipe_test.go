package kafkatest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A tool reads what it is given, and nothing where it is given nothing.
func TestPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kafka")
	if err := os.WriteFile(path, []byte("#!/bin/sh\necho \"$@\"\ncat\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t: t, script: script{path: path}}
	out, err := c.Pipe(strings.NewReader("hello\n"), "ConsoleProducer", "--topic", "orders")
	if want := "cli ConsoleProducer --topic orders\nhello\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	out, err = c.CLI("TopicCommand", "--list")
	if want := "cli TopicCommand --list\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}
