package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

//go:embed github-webhooks.jsonl.gz
var webhooks []byte

// delivery is a line of the file: what GitHub sends in one request.
type delivery struct {
	Event   string          `json:"event"` // the header X-GitHub-Event
	Payload json.RawMessage `json:"payload"`

	id         string
	repository string // "" when the delivery is about no repository
	damaged    bool
}

// readDeliveries reads the file. Ids count its lines, from "delivery-001".
func readDeliveries() ([]delivery, error) {
	unpacked, err := gzip.NewReader(bytes.NewReader(webhooks))
	if err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	var all []delivery
	damaged := false
	for lines := bufio.NewReader(unpacked); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("webhooks: %w", err)
		}
		var d delivery
		var about struct {
			Repository Repository `json:"repository"`
		}
		if err := json.Unmarshal(line, &d); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(all)+1, err)
		}
		if err := json.Unmarshal(d.Payload, &about); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(all)+1, err)
		}
		d.id = fmt.Sprintf("delivery-%03d", len(all)+1)
		d.repository = about.Repository.FullName
		if d.Event == "push" && !damaged { // the first one will lose its second half
			d.damaged, damaged = true, true
		}
		all = append(all, d)
	}
}

// event returns what is published: GitHub's bytes as they are, in the order of the
// repository.
func (d delivery) event() event.Event {
	data := d.Payload
	if d.damaged {
		data = data[:len(data)/2]
	}
	return event.Attributes{
		ID:          d.id,
		Source:      "https://github.com",
		Type:        d.Event,
		Key:         d.repository,
		ContentType: "application/json",
		Data:        data,
	}.Event()
}

// play publishes all deliveries.
func play(ctx context.Context, b *bus.Bus, deliveries []delivery, p *progress) error {
	types := make(map[string]bool)
	for _, d := range deliveries {
		types[d.Event] = true
		if err := b.Publish(ctx, d.event(), bus.Topic(topic)); err != nil {
			return err
		}
		if d.damaged {
			p.sayf("%s (%s, %s) was damaged on its way", d.id, d.Event, d.repository)
		}
	}
	p.sayf("published %d deliveries of %d types to the topic %q", len(deliveries), len(types), topic)
	return nil
}
