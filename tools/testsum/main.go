// Testsum reads the output of `go test -json` and says what happened: a line
// per package, all output of what failed, and at the end why tests were skipped
// and how many passed, failed and were skipped. A run without any test is a
// failure.
//
// With -noskip a skipped test is a failure as well. With -o it appends "passed
// failed skipped" to a file, so that runs can be added up. With -v it shows all
// output.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("testsum: ")
	file := flag.String("o", "", "append the counts to this `file`")
	var s sum
	flag.BoolVar(&s.noskip, "noskip", false, "a skipped test is a failure")
	flag.BoolVar(&s.verbose, "v", false, "show the output of all tests")
	flag.Parse()

	err := s.read(os.Stdin, os.Stdout)
	if err != nil {
		log.Fatal(err)
	}
	if *file != "" {
		if err := appendTo(*file, fmt.Sprintln(s.passed, s.failed, s.skipped)); err != nil {
			log.Fatal(err)
		}
	}
	for _, why := range slices.Sorted(maps.Keys(s.why)) {
		fmt.Printf("SKIPPED %d: %s\n", s.why[why], why)
	}
	fmt.Printf("%d passed, %d failed, %d skipped\n", s.passed, s.failed, s.skipped)
	if s.failed > 0 {
		os.Exit(1)
	}
}

func appendTo(name, line string) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.WriteString(line); err != nil {
		return err
	}
	return f.Close()
}

// An event is one line of `go test -json`.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
	Elapsed    float64
}

// A sum counts tests, subtests, Examples and the seeds of fuzz targets, each as
// one.
type sum struct {
	noskip, verbose bool

	passed, failed, skipped int
	why                     map[string]int // how many were skipped for a reason

	output map[key][]string // of what hasn't passed yet
	broken map[string]bool  // packages with a failed test
}

type key struct{ pkg, test string }

// read adds up what r tells and writes to w what a person wants to see.
func (s *sum) read(r io.Reader, w io.Writer) error {
	s.why, s.output, s.broken = map[string]int{}, map[key][]string{}, map[string]bool{}
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			var e event
			if json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
				fmt.Fprint(w, line) // of make, of vet, or of a toolchain that is downloaded
			} else {
				s.add(e, w)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
	}
	if s.passed+s.failed+s.skipped == 0 {
		fmt.Fprintln(w, "no test ran")
		s.failed++
	}
	return nil
}

func (s *sum) add(e event, w io.Writer) {
	k := key{e.Package, e.Test}
	switch e.Action {
	case "output":
		s.output[k] = append(s.output[k], e.Output)
		if s.verbose {
			fmt.Fprint(w, e.Output)
		}
	case "build-output":
		fmt.Fprint(w, e.Output)
	case "pass":
		if e.Test == "" {
			fmt.Fprintf(w, "ok    %s %.1fs\n", e.Package, e.Elapsed)
		} else {
			s.passed++
		}
		delete(s.output, k)
	case "skip":
		switch {
		case e.Test == "": // no test files
		case s.noskip:
			s.fail(k, w, "skipped, and a skipped test tests nothing")
		default:
			s.skipped++
			s.why[s.reason(k)]++
		}
		delete(s.output, k)
	case "fail":
		switch {
		case e.Test != "":
			s.fail(k, w, "failed")
		case s.broken[e.Package]:
			s.print(w, k)
			fmt.Fprintf(w, "FAIL  %s %.1fs\n", e.Package, e.Elapsed)
		default: // it didn't build, timed out or died: no test says so
			for _, t := range s.running(e.Package) {
				s.print(w, t)
			}
			s.fail(k, w, "failed")
		}
	}
}

func (s *sum) fail(k key, w io.Writer, how string) {
	s.failed++
	s.broken[k.pkg] = true
	s.print(w, k)
	fmt.Fprintf(w, "FAIL  %s: %s\n", strings.TrimSpace(k.pkg+" "+k.test), how)
}

// print writes what k has said so far.
func (s *sum) print(w io.Writer, k key) {
	for _, o := range s.output[k] {
		if !s.verbose { // else it is there already
			fmt.Fprint(w, o)
		}
	}
	delete(s.output, k)
}

// logged is a line of t.Log and its like.
var logged = regexp.MustCompile(`^\s+\S+\.go:\d+: (.*)\n`)

// reason returns what k has logged last: that is what Skip was given.
func (s *sum) reason(k key) string {
	for _, o := range slices.Backward(s.output[k]) {
		if m := logged.FindStringSubmatch(o); m != nil {
			return m[1]
		}
	}
	return "no reason given"
}

// running returns the tests of pkg that have begun and not ended.
func (s *sum) running(pkg string) []key {
	var ks []key
	for k := range s.output {
		if k.pkg == pkg && k.test != "" {
			ks = append(ks, k)
		}
	}
	slices.SortFunc(ks, func(a, b key) int { return strings.Compare(a.test, b.test) })
	return ks
}
