package kafkatest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A tool reads what it is given, and nothing where it is given nothing.
func TestPipe(t *testing.T) {
	inCheckout(t, `case $1 in
		start) echo export LEAT_KAFKA=127.0.0.1:1 ;;
		guard) cat ;;
		cli) echo "$@"; cat ;;
	esac`)
	c := NewCluster(t, 1)
	out, err := c.Pipe(strings.NewReader("hello\n"), "ConsoleProducer", "--topic", "orders")
	if want := "cli ConsoleProducer --topic orders\nhello\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
	out, err = c.CLI("TopicCommand", "--list")
	if want := "cli TopicCommand --list\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

// inCheckout puts the test into a folder where test/services/kafka is another script.
func inCheckout(t *testing.T, script string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "test", "services")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kafka"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
}
