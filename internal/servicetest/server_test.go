package servicetest

import (
	"strings"
	"testing"
)

// serves is the code of a fake that is well.
const serves = `case $1 in guard) cat; "$0" stop ;; start) echo export LEAT_WELL=here ;; esac`

func TestServerIsItsScript(t *testing.T) {
	f := newFake(t, "well", serves)
	t.Run("runs", func(t *testing.T) {
		s := Start(t, "well", WithArgs("3", "--sasl"))
		if s.Addr() != "here" || s.Var("LEAT_NONE") != "" {
			t.Error(s.Addr(), s.Var("LEAT_NONE"))
		}
		s.Kill()
		s.Start()
		s.Pause()
		s.Resume()
		s.Do("kill-broker", "2")
	})
	all := f.told(t)
	if got, want := commands(all), "install|start 3 --sasl|kill|start|pause|resume|kill-broker 2|stop"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
	for _, a := range all[1:] {
		if a.port != all[1].port || a.state != all[1].state || a.port == "" || a.state == "" {
			t.Errorf("another server: %v, %v", a, all[1])
		}
	}
}

// Two servers have nothing in common, and what is in place isn't put there again.
func TestServersArePrivate(t *testing.T) {
	f := newFake(t, "well", serves)
	t.Run("run", func(t *testing.T) {
		Start(t, "well")
		Start(t, "well", WithEnv("LEAT_WELL_PORT=7"))
	})
	all := f.told(t)
	if got, want := commands(all), "install|start|start|stop|stop"; got != want {
		t.Fatalf("%s; want %s", got, want)
	}
	if all[1].state == all[2].state || all[1].port == all[2].port {
		t.Error(all)
	}
	if all[2].port != "7" { // WithEnv wins
		t.Error(all[2])
	}
}

func TestStartWithoutServer(t *testing.T) {
	newFake(t, "ill", "echo java is missing >&2; exit 1")
	for required, ends := range map[string]string{"": "skip", "1": "fatal"} {
		t.Setenv("LEAT_REQUIRE_SERVICES", required)
		r := recorder{TB: t}
		r.run(func() { Start(&r, "ill") })
		first, rest, _ := strings.Cut(r.said, "\n")
		if r.ended != ends || !strings.Contains(rest, "java is missing") ||
			first != "NO ILL: it can't be put in place. Run: test/services/ill install" {
			t.Errorf("LEAT_REQUIRE_SERVICES=%q: %s, %q", required, r.ended, r.said)
		}
	}
}

// A port that somebody took since it was free is no reason to fail: the server gets
// another. What was begun ends before that.
func TestStartOnATakenPort(t *testing.T) {
	for _, complaint := range []string{
		"port 1 is taken by another process", "bind: Address already in use", "{listen_error,eaddrinuse}",
	} {
		var all []told
		t.Run(complaint, func(t *testing.T) {
			f := newFake(t, "crowded", `case $1 in
				guard) cat; "$0" stop ;;
				start) [ "$(grep -c ^start "$log")" = 3 ] || { echo '`+complaint+`' >&2; exit 1; } ;;
			esac`)
			Start(t, "crowded")
			all = f.told(t)
		})
		if got, want := commands(all), "install|start|stop|start|stop|start"; got != want {
			t.Fatalf("%s: %s; want %s", complaint, got, want)
		}
		if all[1].state == all[3].state || all[1].port == all[3].port || all[3].state == all[5].state {
			t.Errorf("%s: %v", complaint, all)
		}
	}
}

func TestStartThatFailsFailsTheTest(t *testing.T) {
	f := newFake(t, "lame", `case $1 in guard) cat; "$0" stop ;; start) echo out of memory >&2; exit 1 ;; esac`)
	r := recorder{TB: t}
	r.run(func() { Start(&r, "lame") })
	if r.ended != "fatal" || !strings.Contains(r.said, "lame start") || !strings.Contains(r.said, "out of memory") {
		t.Errorf("%s, %q", r.ended, r.said)
	}
	if got, want := commands(f.told(t)), "install|start|stop"; got != want {
		t.Errorf("%s; want %s", got, want)
	}
}

func TestACommandThatFailsFailsTheTest(t *testing.T) {
	newFake(t, "lame", `case $1 in guard) cat ;; kill) echo it is not running >&2; exit 1 ;; esac`)
	r := recorder{TB: t}
	s := Start(&r, "lame")
	r.run(s.Kill)
	if r.ended != "fatal" || !strings.Contains(r.said, "lame kill") || !strings.Contains(r.said, "it is not running") {
		t.Errorf("%s, %q", r.ended, r.said)
	}
}

func TestPipe(t *testing.T) {
	newFake(t, "pipe", `case $1 in guard) cat ;; cli) echo "$@"; cat ;; esac`)
	s := Start(t, "pipe")
	out, err := s.Pipe(strings.NewReader("hello\n"), "cli", "produce")
	if want := "cli produce\nhello\n"; out != want || err != nil {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}

func TestNotACheckout(t *testing.T) {
	t.Chdir(t.TempDir())
	if path, err := find("redis"); err == nil {
		t.Error(path)
	}
}
