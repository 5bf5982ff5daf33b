package servicetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A process that is killed leaves no server behind. This one's script only notes
// that it was told to stop.
func TestGuardOutlivesTheProcess(t *testing.T) {
	if path := os.Getenv("GUARDED_SCRIPT"); path != "" {
		script{path: path}.guard(t)
		self, err := os.FindProcess(os.Getpid())
		if err == nil {
			err = self.Kill()
		}
		t.Error("alive", err)
		select {}
	}
	dir := t.TempDir()
	path, stopped := filepath.Join(dir, "server"), filepath.Join(dir, "stopped")
	if err := os.WriteFile(path, []byte("#!/bin/sh\ncat >/dev/null && : >'"+stopped+"'\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), "GUARDED_SCRIPT="+path)
	if out, err := child.CombinedOutput(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("not killed: %v\n%s", err, out)
	}
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for range 500 {
		if _, err := os.Stat(stopped); err == nil {
			return
		}
		<-again.C
	}
	t.Error("the guard didn't stop anything")
}
