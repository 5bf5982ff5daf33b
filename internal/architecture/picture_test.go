package architecture

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// picture is leat's packages by their place, as paths below the module.
type picture struct {
	house    []row
	knowsNot map[string][]string // room -> rooms below it that it doesn't know all the same
	adapters []string            // globs; packages below an adapter's folder belong to it
	kits     map[string]string   // kit -> the package that it tests
	people   []string            // folders
	light    []string            // packages that link the standard library and lightDeps only
}

// A row is rooms side by side. A room is a package and those of its
// subpackages that live in the same room; its first package names it.
type row []room

type room []string

var leat = picture{
	house: []row{ // the top row first
		{{"command"}, {"query"}, {"lake"}},
		{{"bus", "bus/request"}},
		{{"idempotency"}, {"schema"}, {"payload"}},
		{{"event"}},
	},
	knowsNot: map[string][]string{
		"bus": {"idempotency", "schema"},
	},
	adapters: []string{
		"bus/memory", "bus/kafka", "bus/snssqs", "bus/watermillbridge",
		"stores/*",
		"lake/s3lake", "lake/firehoselake",
		"command/webhook", "command/fcm",
	},
	kits: map[string]string{
		"event/channeltest":      "event",
		"command/operationstest": "command",
		"query/modeltest":        "query",
		"idempotency/storetest":  "idempotency",
		"schema/schematest":      "schema",
		"bus/bustest":            "bus",
	},
	people: []string{"examples", "cmd", "docs"},
	light: []string{
		"event", "bus", "bus/memory", "bus/request",
		"payload", "command", "command/webhook", "query", "idempotency",
	},
}

// bridgeDeps are the modules, beside leat's own, that bus/watermillbridge links: those of
// Watermill's messages. What is below it links its broker's library alone.
var bridgeDeps = []string{
	"github.com/ThreeDotsLabs/watermill", "github.com/google/uuid", "github.com/lithammer/shortuuid/v3",
	"github.com/oklog/ulid", "github.com/oklog/ulid/v2", "github.com/pkg/errors",
}

// fcmDeps are the modules, beside leat's own, that command/fcm links.
var fcmDeps = []string{"github.com/oklog/ulid/v2", "golang.org/x/oauth2", "cloud.google.com/go/compute/metadata"}

// lightDeps are the modules, beside leat's own, that the light packages link.
var lightDeps = []string{"github.com/oklog/ulid/v2"}

type kind int

const (
	unknown kind = iota
	inHouse
	adapter
	kit
	people
	shared // internal/
)

// A place is where a package stands in the picture.
type place struct {
	kind kind
	name string // the room, adapter, kit or folder that the package belongs to
	row  int    // of a room; 0 is the top
}

// placeOf says where the package at p, a path below the module, stands.
func (c picture) placeOf(p string) place {
	if within("internal", p) {
		return place{kind: shared, name: "internal"}
	}
	for _, folder := range c.people {
		if within(folder, p) {
			return place{kind: people, name: folder}
		}
	}
	if owner, _, ok := strings.Cut(p+"/", "/internal/"); ok {
		p = owner
	}
	if _, ok := c.kits[p]; ok {
		return place{kind: kit, name: p}
	}
	for _, glob := range c.adapters {
		if name := prefix(p, strings.Count(glob, "/")+1); matches(glob, name) {
			return place{kind: adapter, name: name}
		}
	}
	for i, r := range c.house {
		for _, rm := range r {
			if slices.Contains(rm, p) {
				return place{kind: inHouse, name: rm[0], row: i}
			}
		}
	}
	return place{}
}

// check returns what is wrong with imports, a package's path below the module
// to the paths of leat's packages that it imports, in a stable order.
func (c picture) check(imports map[string][]string) []string {
	var wrong []string
	for from, tos := range imports {
		if c.placeOf(from).kind == unknown {
			wrong = append(wrong, from+" isn't in the picture")
			continue
		}
		for _, to := range tos {
			if c.placeOf(to).kind == unknown {
				continue // said where it stands itself
			}
			if why := c.mayNot(from, to); why != "" {
				wrong = append(wrong, fmt.Sprintf("%s imports %s: %s", from, to, why))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// mayNot returns why from may not import to, or "".
func (c picture) mayNot(from, to string) string {
	f, t := c.placeOf(from), c.placeOf(to)
	switch {
	case f == t, f.kind == people:
		return ""
	case t.kind == people:
		return "nobody imports a program"
	case t.kind == shared:
		return ""
	case t.kind == kit:
		return "only tests and programs import a kit"
	}
	switch f.kind {
	case inHouse:
		return c.roomMayNot(f, t)
	case adapter:
		if t.kind == adapter {
			return "an adapter doesn't know another"
		}
	case kit:
		tested := c.placeOf(c.kits[f.name])
		if t != tested && to != "bus/memory" && (t.kind != inHouse || c.roomMayNot(tested, t) != "") {
			return "a kit imports what it tests, what that may import, and bus/memory"
		}
	case shared:
		if t.name != "event" {
			return "internal packages import event and internal only"
		}
	case unknown, people:
	}
	return ""
}

// roomMayNot returns why the room f may not import t, or "".
func (c picture) roomMayNot(f, t place) string {
	switch {
	case t.kind != inHouse:
		return "the house doesn't know its adapters"
	case t.name == f.name:
		return ""
	case t.row == f.row:
		return "packages of one row don't import each other"
	case t.row < f.row:
		return "the house imports downward only"
	case slices.Contains(c.knowsNot[f.name], t.name):
		return f.name + " doesn't know " + t.name
	}
	return ""
}

// within says whether p is folder or below it.
func within(folder, p string) bool {
	return p == folder || strings.HasPrefix(p, folder+"/")
}

// prefix returns the first n elements of p.
func prefix(p string, n int) string {
	if parts := strings.Split(p, "/"); len(parts) > n {
		return path.Join(parts[:n]...)
	}
	return p
}

func matches(glob, p string) bool {
	ok, err := path.Match(glob, p)
	return ok && err == nil
}
