package payload

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/leat-go/leat/event"
)

// Config says what is kept beside the channel. The zero value is usable.
type Config struct {
	Above int           // bytes that ride in the event at most; 0: 32 KiB
	Keep  time.Duration // how long a payload is kept at least; 0: 14 days, for as long as SQS can bring an event again
	Max   int           // bytes of a payload at most; 0: 64 MiB
}

const (
	defaultAbove = 32 << 10
	defaultKeep  = 14 * 24 * time.Hour
	defaultMax   = 64 << 20
)

// Check takes large payloads out of events, and puts them back. Its methods may be called
// concurrently.
type Check struct {
	store Store
	cfg   Config
}

var (
	_ event.Middleware      = (*Check)(nil)
	_ event.BatchMiddleware = (*Check)(nil)
	_ event.StartChecker    = (*Check)(nil)
)

// New returns a check on a store.
func New(store Store, cfg Config) *Check {
	if cfg.Above <= 0 {
		cfg.Above = defaultAbove
	}
	if cfg.Keep <= 0 {
		cfg.Keep = defaultKeep
	}
	if cfg.Max <= 0 {
		cfg.Max = defaultMax
	}
	return &Check{store, cfg}
}

// scheme is that of references to payloads.
const scheme = "leat-payload:"

// Transform is an [event.Transform]: it puts a large payload into the store, and a reference
// into the event. An event that has a reference already stays as it is.
func (c *Check) Transform(ctx context.Context, e event.Event) (event.Event, error) {
	data := e.Data()
	if len(data) <= c.cfg.Above || e.Extension(event.ExtDataRef) != "" {
		return e, nil
	}
	if len(data) > c.cfg.Max {
		return e, fmt.Errorf("payload: %d bytes, and %d are the most: %w", len(data), c.cfg.Max, event.ErrTooLarge)
	}
	digest := digestOf(data)
	name := nameOf(e, digest)
	if err := c.store.Put(ctx, name, data, c.cfg.Keep); err != nil {
		return e, fmt.Errorf("payload: put: %w", err)
	}
	return e.WithData(e.ContentType(), nil).WithExtension(event.ExtDataRef, scheme+name).WithExtension(event.ExtDataDigest, digest), nil
}

// nameOf names a payload: the same for the same event, another where an id is used for
// something else.
func nameOf(e event.Event, digest string) string {
	sum := sha256.Sum256([]byte(e.Extension(event.ExtTenant) + "\x00" + e.Source() + "\x00" + e.ID() + "\x00" + digest))
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(sum[:20]))
}

// digestOf is a digest as in RFC 9530: its algorithm and its value.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// Whole returns an event with its payload: from the store, where there is a reference of
// this package. Others are returned as they are.
func (c *Check) Whole(ctx context.Context, e event.Event) (event.Event, error) {
	name, ours := strings.CutPrefix(e.Extension(event.ExtDataRef), scheme)
	if !ours {
		return e, nil
	}
	data, err := c.store.Get(ctx, name)
	switch {
	case err != nil:
		return e, fmt.Errorf("payload: of event %s: %w", e.ID(), err)
	case digestOf(data) != e.Extension(event.ExtDataDigest):
		return e, fmt.Errorf("%w: event %s", ErrDigest, e.ID())
	}
	return e.WithData(e.ContentType(), data).WithExtension(event.ExtDataRef, "").WithExtension(event.ExtDataDigest, ""), nil
}

// Remove removes the payload of an event, if it has one in the store: where it is known that
// nobody else needs it.
func (c *Check) Remove(ctx context.Context, e event.Event) error {
	name, ours := strings.CutPrefix(e.Extension(event.ExtDataRef), scheme)
	if !ours {
		return nil
	}
	if err := c.store.Delete(ctx, name); err != nil {
		return fmt.Errorf("payload: remove that of event %s: %w", e.ID(), err)
	}
	return nil
}

// Expire lets the payload of an event go after a time, if it has one in the store: where it
// is known that nobody else needs it, and who is to remove it may not come to that.
func (c *Check) Expire(ctx context.Context, e event.Event, keep time.Duration) error {
	name, ours := strings.CutPrefix(e.Extension(event.ExtDataRef), scheme)
	if !ours {
		return nil
	}
	if err := c.store.Expire(ctx, name, keep); err != nil {
		return fmt.Errorf("payload: of event %s: %w", e.ID(), err)
	}
	return nil
}

// retryPause is after what time an event comes again whose store didn't answer.
const retryPause = time.Second

// verdict tells what to make of a payload that can't be had.
func verdict(err error) error {
	if errors.Is(err, ErrGone) || errors.Is(err, ErrDigest) {
		return event.Permanent(err)
	}
	return event.Postpone(retryPause, err)
}

// Wrap implements [event.Middleware]: the handler gets events that are whole.
func (c *Check) Wrap(next event.Handler) event.Handler {
	return func(ctx context.Context, e event.Event) error {
		e, err := c.Whole(ctx, e)
		if err != nil {
			return verdict(err)
		}
		return next(ctx, e)
	}
}

// WrapBatch implements [event.BatchMiddleware]: the handler gets those events that are
// whole. One of a key whose predecessor isn't waits with it.
func (c *Check) WrapBatch(next event.BatchHandler) event.BatchHandler {
	return func(ctx context.Context, events []event.Event) error {
		failed := make(event.BatchError)
		waits := make(map[string]bool)
		var whole []event.Event
		var at []int
		for i, e := range events {
			if key := e.Key(); key != "" && waits[key] {
				failed[i] = event.ErrBehind
				continue
			}
			e, err := c.Whole(ctx, e)
			if err != nil {
				failed[i] = verdict(err)
				waits[e.Key()] = true // also behind a dead letter: then they come again
				continue
			}
			whole, at = append(whole, e), append(at, i)
		}
		if len(failed) == 0 {
			return next(ctx, whole)
		}
		if len(whole) > 0 {
			for n, err := range event.ErrorsOf(next(event.Elements(ctx, at), whole), len(whole)) {
				if err != nil {
					failed[at[n]] = err
				}
			}
		}
		return failed
	}
}

// CheckStart implements [event.StartChecker]: it refuses to forget sooner than the channel
// can bring an event again.
func (c *Check) CheckStart(_ event.Subscription, g event.Guarantees) error {
	switch {
	case c.store == nil:
		return errors.New("payload: the store is nil")
	case g.RedeliveryHorizon > c.cfg.Keep:
		return fmt.Errorf("payload: payloads are kept for %v, and %s can bring an event again after %v",
			c.cfg.Keep, g.Channel, g.RedeliveryHorizon)
	}
	return nil
}
