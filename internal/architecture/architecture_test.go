package architecture

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestPicture holds the picture in this package's documentation.
func TestPicture(t *testing.T) {
	for _, w := range leat.check(load(t).imports()) {
		t.Error(w)
	}
}

// TestLightPackages holds that the light packages link the standard library,
// lightDeps and leat only, and not package testing.
func TestLightPackages(t *testing.T) {
	for _, w := range tooHeavy(load(t), leat.light, lightDeps) {
		t.Error(w)
	}
}

// TestBridgeLinksNoBroker holds that who uses the bridge to Watermill alone links no
// broker's library.
func TestBridgeLinksNoBroker(t *testing.T) {
	for _, w := range tooHeavy(load(t), []string{"bus/watermillbridge"}, bridgeDeps) {
		t.Error(w)
	}
}

// TestFCMLinksGoogleAlone holds that who notifies by FCM links what fetches access tokens,
// and no client of Google's APIs.
func TestFCMLinksGoogleAlone(t *testing.T) {
	for _, w := range tooHeavy(load(t), []string{"command/fcm"}, fcmDeps) {
		t.Error(w)
	}
}

// TestNoTestifyInBinaries holds that no non-test code, kits included, reaches
// testify.
func TestNoTestifyInBinaries(t *testing.T) {
	for _, w := range reaching(load(t), "github.com/stretchr/testify") {
		t.Error(w)
	}
}

// TestPackageComments holds that each package says what it is.
func TestPackageComments(t *testing.T) {
	for _, w := range withoutComment(load(t)) {
		t.Error(w)
	}
}

// TestOneConceptPerFile holds that no file is longer than maxLines. Tests and
// generated files may be, in all modules of the checkout.
func TestOneConceptPerFile(t *testing.T) {
	for _, w := range tooLong(t, os.DirFS(moduleDir(t))) {
		t.Error(w)
	}
}

// maxLines is where a file begins to hold two concepts.
const maxLines = 500

// tooHeavy returns what the packages light, those that exist, reach beside the
// standard library, the modules allowed and g's own.
func tooHeavy(g graph, light, allowed []string) []string {
	var wrong []string
	own := g.own()
	for _, name := range light {
		for _, dep := range own[name].Deps {
			d := g.pkgs[dep]
			switch {
			case d.ImportPath == "testing", strings.HasPrefix(d.ImportPath, "testing/"):
				wrong = append(wrong, fmt.Sprintf("%s reaches %s", name, dep))
			case d.Standard, d.module() == g.module, slices.Contains(allowed, d.module()):
			default:
				wrong = append(wrong, fmt.Sprintf("%s reaches %s", name, dep))
			}
		}
	}
	return wrong
}

// reaching returns which of g's own packages reach the module.
func reaching(g graph, module string) []string {
	var wrong []string
	for name, p := range g.own() {
		for _, dep := range p.Deps {
			if g.pkgs[dep].module() == module {
				wrong = append(wrong, fmt.Sprintf("%s reaches %s", name, dep))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// withoutComment returns which of g's own packages have code and no comment.
func withoutComment(g graph) []string {
	var wrong []string
	for name, p := range g.own() {
		if len(p.GoFiles)+len(p.CgoFiles) > 0 && p.Doc == "" {
			wrong = append(wrong, name+" has no package comment")
		}
	}
	slices.Sort(wrong)
	return wrong
}

var generated = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.$`)

// tooLong returns the Go files below fsys that are longer than maxLines.
func tooLong(t *testing.T, fsys fs.FS) []string {
	t.Helper()
	var wrong []string
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || p != "." && strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir(), filepath.Ext(p) != ".go", strings.HasSuffix(p, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(fsys, p)
		if err != nil {
			return err
		}
		if n := bytes.Count(src, []byte("\n")); n > maxLines && !generated.Match(src) {
			wrong = append(wrong, fmt.Sprintf("%s has %d lines: past %d it holds two concepts", p, n, maxLines))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return wrong
}
