package architecture

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// The checks are tried on made-up modules: a check that can't fail holds
// nothing.

func TestPictureFindsViolations(t *testing.T) {
	const (
		down     = "the house imports downward only"
		aside    = "packages of one row don't import each other"
		noAdapt  = "the house doesn't know its adapters"
		noKit    = "only tests and programs import a kit"
		noPeople = "nobody imports a program"
		noPeer   = "an adapter doesn't know another"
		kitOnly  = "a kit imports what it tests, what that may import, and bus/memory"
		intOnly  = "internal packages import event and internal only"
	)
	for _, c := range []struct{ from, to, why string }{
		{"command", "bus", ""},
		{"command", "bus/request", ""},
		{"query", "bus/request", ""},
		{"lake", "event", ""},
		{"bus/request", "bus", ""},
		{"bus", "event", ""},
		{"bus", "payload", ""},
		{"payload", "event", ""},
		{"event", "internal/backoff", ""},
		{"bus/internal/ring", "bus", ""},
		{"bus", "bus/internal/ring", ""},

		{"event", "bus", down},
		{"event", "idempotency", down},
		{"idempotency", "bus", down},
		{"payload", "command", down},
		{"bus", "command", down},
		{"bus/request", "query", down},
		{"bus/internal/ring", "command", down},
		{"event/internal/wire", "schema", down},
		{"command", "query", aside},
		{"query", "command", aside},
		{"lake", "command", aside},
		{"schema", "payload", aside},
		{"idempotency", "schema", aside},
		{"bus", "schema", "bus doesn't know schema"},
		{"bus/request", "idempotency", "bus doesn't know idempotency"},

		{"bus/memory", "bus", ""},
		{"bus/kafka/internal/fetch", "event", ""},
		{"bus/kafka", "bus/kafka/internal/fetch", ""},
		{"stores/pgstore", "command", ""},
		{"stores/pgstore", "bus", ""},
		{"stores/pgstore", "internal/backoff", ""},
		{"lake/s3lake", "lake", ""},
		{"command/webhook", "command", ""},
		{"command/webhook", "event", ""},
		{"command/fcm", "command", ""},
		{"command/fcm", "event", ""},
		{"command/fcm", "internal/notify", ""},
		{"bus", "bus/memory", noAdapt},
		{"command", "command/webhook", noAdapt},
		{"command", "command/fcm", noAdapt},
		{"event", "bus/memory", noAdapt},
		{"command", "stores/redisstore", noAdapt},
		{"lake", "lake/s3lake", noAdapt},
		{"bus/kafka", "bus/memory", noPeer},
		{"stores/pgstore", "stores/redisstore", noPeer},
		{"stores/pgstore", "stores/redisstore/internal/lua", noPeer},
		{"command/fcm", "command/webhook", noPeer},
		{"command/webhook", "bus/memory", noPeer},
		{"bus/kafka/internal/fetch", "bus/snssqs", noPeer},
		{"bus/memory", "event/channeltest", noKit},

		{"event/channeltest", "event", ""},
		{"event/channeltest", "bus/memory", ""},
		{"bus/bustest", "bus", ""},
		{"bus/bustest", "event", ""},
		{"bus/bustest", "internal/backoff", ""},
		{"idempotency/storetest", "event", ""},
		{"event/channeltest", "bus", kitOnly},
		{"event/channeltest", "bus/kafka", kitOnly},
		{"bus/bustest", "command", kitOnly},
		{"bus/bustest", "schema", kitOnly},
		{"schema/schematest", "payload", kitOnly},
		{"bus/bustest", "event/channeltest", noKit},
		{"bus", "bus/bustest", noKit},
		{"internal/backoff", "bus/bustest", noKit},

		{"examples/quickstart", "bus/memory", ""},
		{"cmd/leat", "lake/s3lake", ""},
		{"examples/shop", "bus/bustest", ""},
		{"examples/shop", "examples/shop/orders", ""},
		{"bus", "examples/quickstart", noPeople},
		{"stores/pgstore", "cmd/leat", noPeople},
		{"internal/backoff", "docs/snippets", noPeople},

		{"internal/backoff", "event", ""},
		{"internal/backoff", "internal/rng", ""},
		{"internal/backoff", "payload", intOnly},
		{"internal/backoff", "bus", intOnly},
		{"internal/backoff", "bus/memory", intOnly},
	} {
		var want []string
		if c.why != "" {
			want = []string{c.from + " imports " + c.to + ": " + c.why}
		}
		got := leat.check(map[string][]string{c.from: {c.to}, c.to: nil})
		if !slices.Equal(got, want) {
			t.Errorf("%s imports %s: got %q, want %q", c.from, c.to, got, want)
		}
	}
}

func TestPictureFindsUnknownPackages(t *testing.T) {
	for _, p := range []string{".", "helpers", "bus/retry", "bus/memoryx", "bus/internals", "events", "event/channeltest/sub", "stores", "command/gateway"} {
		got := leat.check(map[string][]string{p: {"event"}, "event": nil})
		if want := []string{p + " isn't in the picture"}; !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", p, got, want)
		}
	}
	got := leat.check(map[string][]string{"bus": {"helpers"}, "helpers": nil})
	if want := []string{"helpers isn't in the picture"}; !slices.Equal(got, want) {
		t.Errorf("an import of an unknown package: got %q, want %q", got, want)
	}
}

func TestTooHeavyFindsViolations(t *testing.T) {
	g := madeUp(
		made{"m/event", "m", []string{"fmt", "u/ulid"}},
		made{"m/bus", "m", []string{"m/event", "x/heavy", "testing"}},
		made{"m/lake", "m", []string{"x/heavy"}},
		made{"u/ulid", "u", nil},
		made{"x/heavy", "x", nil},
		made{"fmt", "", nil},
		made{"testing", "", nil},
	)
	got := tooHeavy(g, []string{"event", "bus", "query"}, []string{"u"})
	if want := []string{"bus reaches x/heavy", "bus reaches testing"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReachingFindsViolations(t *testing.T) {
	g := madeUp(
		made{"m/event", "m", nil},
		made{"m/kit", "m", []string{"m/event", "t/require"}},
		made{"t/require", "t", nil},
	)
	if got, want := reaching(g, "t"), []string{"kit reaches t/require"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWithoutCommentFindsViolations(t *testing.T) {
	g := graph{module: "m", pkgs: map[string]pkg{}}
	for _, p := range []pkg{
		{ImportPath: "m", GoFiles: []string{"m.go"}},
		{ImportPath: "m/said", GoFiles: []string{"a.go"}, Doc: "Package said is."},
		{ImportPath: "m/silent", GoFiles: []string{"a.go"}},
		{ImportPath: "m/tests"},
	} {
		p.Module = &struct{ Path string }{"m"}
		g.pkgs[p.ImportPath] = p
	}
	want := []string{". has no package comment", "silent has no package comment"}
	if got := withoutComment(g); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTooLongFindsViolations(t *testing.T) {
	lines := func(n int, head string) *fstest.MapFile {
		return &fstest.MapFile{Data: []byte(head + strings.Repeat("\n", n))}
	}
	got := tooLong(t, fstest.MapFS{
		"bus/short.go":        lines(maxLines, "package bus"),
		"bus/long.go":         lines(maxLines+1, "package bus"),
		"bus/long_test.go":    lines(maxLines+1, "package bus"),
		"bus/made.go":         lines(maxLines+1, "// Code generated by x. DO NOT EDIT.\n"),
		"bus/long.txt":        lines(maxLines+1, ""),
		"bus/testdata/big.go": lines(maxLines+1, "package x"),
		".hidden/long.go":     lines(maxLines+1, "package x"),
	})
	if want := []string{"bus/long.go has 501 lines: past 500 it holds two concepts"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// made is one package of a made-up graph; without a module it is a standard
// one.
type made struct {
	path, module string
	deps         []string
}

func madeUp(ms ...made) graph {
	g := graph{module: "m", pkgs: map[string]pkg{}}
	for _, m := range ms {
		p := pkg{ImportPath: m.path, Deps: m.deps, Standard: m.module == ""}
		if m.module != "" {
			p.Module = &struct{ Path string }{m.module}
		}
		g.pkgs[p.ImportPath] = p
	}
	return g
}
