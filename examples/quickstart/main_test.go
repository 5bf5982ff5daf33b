package main

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-go/leat/bus/memory"
	"github.com/leat-go/leat/event"
)

// What the command must print. The numbers were counted with other tools:
//
//	zcat github-webhooks.jsonl.gz | jq -r .event | sort | uniq -c | sort -rn
//	zcat github-webhooks.jsonl.gz | jq -r .payload.repository.full_name | sort | uniq -c
var lines = []string{
	`published 329 deliveries of 58 types to the topic "github"`,
	"type deliveries Codertocat/Hello-World other repositories no repository",
	"issues 29 28 1 0",
	"pull_request 29 29 0 0",
	"discussion 15 14 1 0",
	"release 13 13 0 0",
	"repository 13 5 8 0",
	"check_run 9 6 3 0",
	"workflow_job 8 4 4 0",
	"48 more types 186 104 33 49",
	"total 329 230 50 49",
	"group published handled retried dead redriven",
	"projection 329 329 0 1 1",
	"notifier 65 65 17 1 1", // 29 issues, 29 pull requests, 7 pushes
	"audit 394 394 0 0 0",   // 329 + 65
	"ok: all counts agree with the file, and each group saw each repository in order.",
}

func TestCounts(t *testing.T) {
	for name, options := range map[string][]memory.Option{
		"plain":   nil,
		"encoded": {memory.Encode()},
		"tiny":    {memory.Capacity(1)}, // publishers wait for the notifier
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				code, out, errs := runWith(t, memory.New(options...))
				if code != 0 || errs != "" {
					t.Fatalf("left with %d: %s", code, errs)
				}
				for _, line := range lines {
					if !strings.Contains(out, line+"\n") {
						t.Errorf("no line %q in:\n%s", line, out)
					}
				}
			})
		})
	}
}

// The command can fail: it notices whatever a channel does to a single event.
func TestBrokenChannel(t *testing.T) {
	const victim = "delivery-215" // a pull request of the busiest repository
	for name, c := range map[string]struct {
		instead func(event.Event) []event.Event
		says    string
	}{
		"loses":    {func(event.Event) []event.Event { return nil }, "not everything was handled: context deadline exceeded"},
		"doubles":  {func(e event.Event) []event.Event { return []event.Event{e, e} }, "projection: has {published:329 handled:330 "},
		"delays":   {func(e event.Event) []event.Event { return e.WithNotBefore(time.Now().Add(time.Second)).One() }, "audit: order of Codertocat/Hello-World: delivery-215 came after delivery-"},
		"renames":  {func(e event.Event) []event.Event { return e.WithType("issues").One() }, `projection: pull_request of "Codertocat/Hello-World": has 28, the file says 29`},
		"moves":    {func(e event.Event) []event.Event { return e.WithKey("a/b").One() }, `audit: delivery-215 is about "a/b", the file says "Codertocat/Hello-World"`},
		"reissues": {func(e event.Event) []event.Event { return e.WithID("delivery-000").One() }, "audit: delivery-215 is recorded 0 times"},
		"cuts":     {func(e event.Event) []event.Event { return e.WithData("", e.Data()[1:]).One() }, "projection: has {published:329 handled:329 retried:0 dead:2 "},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				code, out, errs := runWith(t, broken{memory.New(), victim, c.instead})
				if code != 1 || !strings.Contains(errs, c.says) {
					t.Errorf("left with %d: %swant: %s", code, errs, c.says)
				}
				if strings.Contains(out, "ok:") {
					t.Error("says ok")
				}
			})
		})
	}
}

var spaces = regexp.MustCompile(` +`)

func runWith(t *testing.T, channel event.Channel) (code int, out, errs string) {
	t.Helper()
	var stdout, stderr strings.Builder
	code = quickstart(t.Context(), channel, &stdout, &stderr)
	return code, spaces.ReplaceAllString(stdout.String(), " "), stderr.String()
}

// broken is a memory channel that does something to one event.
type broken struct {
	*memory.Channel

	victim  string
	instead func(event.Event) []event.Event
}

func (b broken) Producer(ctx context.Context, topic string) (event.Producer, error) {
	p, err := b.Channel.Producer(ctx, topic)
	return brokenProducer{p, b}, err
}

type brokenProducer struct {
	event.Producer

	b broken
}

func (p brokenProducer) Produce(ctx context.Context, events ...event.Event) error {
	if len(events) == 1 && events[0].ID() == p.b.victim {
		events = p.b.instead(events[0])
	}
	return p.Producer.Produce(ctx, events...)
}
