package architecture

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A pkg is what `go list -json` says about one package.
type pkg struct {
	ImportPath string
	Dir        string
	Doc        string
	Standard   bool
	Module     *struct{ Path string }
	GoFiles    []string
	CgoFiles   []string
	Imports    []string
	Deps       []string
}

func (p pkg) module() string {
	if p.Module == nil {
		return ""
	}
	return p.Module.Path
}

// A graph is a module's packages and all that their non-test code reaches.
type graph struct {
	module string
	pkgs   map[string]pkg // by import path
}

// load lists the module that this test stands in.
func load(t *testing.T) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps",
		"-json=ImportPath,Dir,Doc,Standard,Module,GoFiles,CgoFiles,Imports,Deps", "./...")
	cmd.Dir = moduleDir(t)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	g := graph{module: "github.com/leat-go/leat", pkgs: map[string]pkg{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("go list: %v", err)
		}
		g.pkgs[p.ImportPath] = p
	}
	if len(g.own()) == 0 {
		t.Fatalf("go list found no package of %s", g.module)
	}
	return g
}

// own returns the module's packages by their path below it ("." for its root).
func (g graph) own() map[string]pkg {
	own := map[string]pkg{}
	for _, p := range g.pkgs {
		if p.module() == g.module {
			own[g.below(p.ImportPath)] = p
		}
	}
	return own
}

func (g graph) below(importPath string) string {
	if importPath == g.module {
		return "."
	}
	return strings.TrimPrefix(importPath, g.module+"/")
}

// imports returns what the module's packages import of each other, by their
// paths below the module.
func (g graph) imports() map[string][]string {
	edges := map[string][]string{}
	for from, p := range g.own() {
		edges[from] = nil
		for _, to := range p.Imports {
			if g.pkgs[to].module() == g.module {
				edges[from] = append(edges[from], g.below(to))
			}
		}
	}
	return edges
}

// moduleDir returns the folder of the module that this test stands in.
func moduleDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}
