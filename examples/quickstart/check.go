package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
)

// expected is what stands in the file, counted line by line and without a bus.
type expected struct {
	all          int
	deliveries   map[place]int
	repositories []string // of each delivery
	notified     int      // deliveries of the types that the notifier handles
	retried      int      // how often their notifications fail
}

func countFile() (expected, error) {
	want := expected{deliveries: make(map[place]int)}
	unpacked, err := gzip.NewReader(bytes.NewReader(webhooks))
	if err != nil {
		return want, err
	}
	pushes := 0
	for lines := json.NewDecoder(unpacked); ; {
		var line struct {
			Event   string `json:"event"`
			Payload struct {
				Repository struct {
					FullName string `json:"full_name"`
				} `json:"repository"`
			} `json:"payload"`
		}
		err := lines.Decode(&line)
		if errors.Is(err, io.EOF) {
			return want, nil
		}
		if err != nil {
			return want, err
		}
		repository := line.Payload.Repository.FullName
		want.all++
		want.deliveries[place{repository, line.Event}]++
		want.repositories = append(want.repositories, repository)
		id := fmt.Sprintf("delivery-%03d", want.all)
		switch line.Event {
		case "push":
			if pushes++; pushes == 1 {
				id += "-repaired"
			}
		case "issues", "pull_request":
		default:
			continue
		}
		want.notified++
		want.retried += failuresOf(id)
	}
}

// check compares what the groups counted with the file.
func check(out io.Writer, projection *projection, notifier *notifier, audit *audit, p *progress) error {
	want, err := countFile()
	if err != nil {
		return err
	}
	damaged := 1
	err = errors.Join(
		compare("projection", p, counts{want.all, want.all, 0, damaged, damaged}),
		compare("notifier", p, counts{want.notified, want.notified, want.retried, damaged, damaged}),
		compare("audit", p, counts{want.all + want.notified, want.all + want.notified, 0, 0, 0}),
		checkProjection(projection, want),
		checkTrail(audit, want),
		inOrder("projection", projection.order),
		inOrder("notifier", notifier.order),
		inOrder("audit", audit.order),
	)
	if err != nil {
		return fmt.Errorf("the counts don't agree with the file:\n%w", err)
	}
	fmt.Fprintf(out, `
ok: all counts agree with the file, and each group saw each repository in order.
By hand: %d deliveries + %d notifications = %d in the audit trail; and in examples/quickstart
  zcat github-webhooks.jsonl.gz | wc -l                          # %d
  zcat github-webhooks.jsonl.gz | grep -c '^{"event":"issues"'   # %d
`, want.all, want.notified, want.all+want.notified, want.all, ofType(want.deliveries, "issues"))
	return nil
}

func compare(group string, p *progress, want counts) error {
	if got := p.of(group); got != want {
		return fmt.Errorf("%s: has %+v, the file says %+v", group, got, want)
	}
	return nil
}

func checkProjection(p *projection, want expected) error {
	var errs []error
	for at, n := range p.counts {
		if n != want.deliveries[at] {
			errs = append(errs, fmt.Errorf("projection: %s of %q: has %d, the file says %d", at.typ, at.repository, n, want.deliveries[at]))
		}
	}
	for at, n := range want.deliveries {
		if p.counts[at] == 0 {
			errs = append(errs, fmt.Errorf("projection: %s of %q: has none, the file says %d", at.typ, at.repository, n))
		}
	}
	return errors.Join(errs...)
}

// checkTrail looks for every delivery in the audit trail, and for one notification
// of each that should have caused one.
func checkTrail(a *audit, want expected) error {
	recorded := make(map[string]int) // by id
	about := make(map[string]string) // repository, by id
	causes := make(map[string]int)   // of notifications
	for _, r := range a.trail {
		if r.typ == "notification" {
			causes[r.cause]++
			continue
		}
		recorded[r.id]++
		about[r.id] = r.repository
	}
	for i, repository := range want.repositories {
		id := fmt.Sprintf("delivery-%03d", i+1)
		if recorded[id] != 1 {
			return fmt.Errorf("audit: %s is recorded %d times", id, recorded[id])
		}
		if about[id] != repository {
			return fmt.Errorf("audit: %s is about %q, the file says %q", id, about[id], repository)
		}
	}
	if len(causes) != want.notified || slices.Max(slices.Collect(maps.Values(causes))) > 1 {
		return fmt.Errorf("audit: notifications of %d deliveries, the file says %d, once each", len(causes), want.notified)
	}
	return nil
}

func inOrder(group string, o order) error {
	if o.broken != nil {
		return fmt.Errorf("%s: %w", group, o.broken)
	}
	return nil
}

func ofType(counts map[place]int, typ string) int {
	n := 0
	for at, c := range counts {
		if at.typ == typ {
			n += c
		}
	}
	return n
}
