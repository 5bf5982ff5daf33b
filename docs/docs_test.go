// Package docs keeps the pages of the project true: every Go snippet stands in a
// file that is compiled, every printed text in the test that expects it, and every
// link leads somewhere.
package docs

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = ".."

func TestSnippetsAreCompiled(t *testing.T) {
	sources := readAll(t, ".go")
	n := 0
	for name, page := range readAll(t, ".md") {
		for _, s := range snippets(page) {
			n++
			if !standsIn(sources, s) {
				t.Errorf("%s: in no Go file:\n%s", name, s)
			}
		}
	}
	if n < 4 {
		t.Errorf("found %d snippets only", n)
	}
}

func TestSnippetThatWasChangedIsFound(t *testing.T) {
	sources := map[string]string{"a.go": "package a\n\nfunc f() {\n\tif x {\n\t\treturn\n\t}\n}\n"}
	page := "text\n```go\nif x {\n\treturn\n}\n```\n```sh\nls\n```\n```go\nif x {\n\treturn 1\n}\n```\n"
	got := snippets(page)
	if len(got) != 2 || !standsIn(sources, got[0]) || standsIn(sources, got[1]) {
		t.Errorf("snippets %q", got)
	}
}

var link = regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for name, page := range readAll(t, ".md") {
		for _, m := range link.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s: link to %s: %v", name, m[1], err)
			}
		}
	}
}

// readAll returns the files of the checkout with an extension, by their path.
func readAll(t *testing.T, ext string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ext {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		files[rel] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// snippets returns the blocks of a page that must stand in a Go file, without their
// indentation: code, and texts that programs print.
func snippets(page string) []string {
	var all []string
	for i, block := range strings.Split(page, "```") {
		language, code, _ := strings.Cut(block, "\n")
		if i%2 == 1 && (language == "go" || language == "text") {
			all = append(all, flat(code))
		}
	}
	return all
}

func standsIn(sources map[string]string, snippet string) bool {
	for _, s := range sources {
		if strings.Contains(flat(s), snippet) {
			return true
		}
	}
	return false
}

// flat removes indentation, and empty lines around the code.
func flat(code string) string {
	lines := strings.Split(strings.TrimSpace(code), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimSpace(l)
	}
	return strings.Join(lines, "\n")
}
