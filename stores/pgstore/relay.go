package pgstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

const (
	relayLock = 0x6c6561740003
	pageSize  = 2000        // events that are read, and published, at once
	pageBytes = 16 << 20    // of them, but for the last
	takeEvery = time.Second // how often a relay that is not active tries to be
	lookEvery = 500 * time.Millisecond
	failPause = 100 * time.Millisecond // after an error, doubled up to maxPause
	maxPause  = 10 * time.Second
)

// Relay publishes through b what is in the outbox, and keeps the partitions ([Store.Keep]),
// until ctx ends or b is closed, and returns why. Of all processes that run it, for one
// schema, one publishes; when its connection ends another takes over, within a second. It
// holds a connection of its own, made as those of the pool. What it can't do it tries
// again, and tells [OnError].
func (s *Store) Relay(ctx context.Context, b *bus.Bus) error {
	ctx, cancel := context.WithCancel(ctx)
	var keeper sync.WaitGroup
	defer keeper.Wait()
	defer cancel()
	keeper.Go(func() { _ = s.Keep(ctx) }) // ends with ctx
	pause := failPause
	for {
		began := time.Now()
		err := s.relay(ctx, b)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, event.ErrClosed):
			return err
		case err != nil:
			s.onError(explained("relay", err))
		}
		if time.Since(began) > maxPause {
			pause = failPause
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, maxPause)
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// relaySettings are those of the relay's connection. What is new is few of many, which an
// index tells; the planner can't know. To it what has no index, the table relay, is
// immensely expensive then, and would be compiled for 40 ms each time. How far the relay is
// need not be on disk at once: what a crash of the server makes it forget is published
// again, and what others do about it, who drop a partition, is behind it in the log.
const relaySettings = `listen leat_outbox; set plan_cache_mode = force_custom_plan; set enable_seqscan = off;
	set jit = off; set synchronous_commit = off`

// relay publishes on one connection, until that fails.
func (s *Store) relay(ctx context.Context, b *bus.Bus) error {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	c := pooled.Hijack() // its lock and its LISTEN end with it
	defer func() {
		ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
		defer cancel()
		_ = c.Close(ended) // it is given up
	}()
	if _, err := c.Exec(ctx, relaySettings); err != nil {
		return err
	}
	for {
		ours, err := s.tryLock(ctx, c, relayLock)
		if err != nil {
			return err
		}
		if ours {
			break
		}
		if err := s.await(ctx, c, takeEvery); err != nil {
			return err
		}
	}
	r := &reader{store: s, conn: c}
	if err := r.takeOver(ctx); err != nil {
		return err
	}
	defer s.handOver(ctx, c)
	return r.run(ctx, b)
}

// await waits for a notification, or for a time.
func (s *Store) await(ctx context.Context, c *pgx.Conn, d time.Duration) error {
	limited, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	for {
		n, err := c.WaitForNotification(limited)
		switch {
		case err == nil && n.Payload != s.schema:
			continue // of another schema
		case err == nil, limited.Err() != nil && ctx.Err() == nil && !c.IsClosed():
			return nil
		}
		return err
	}
}

// handOver lets another relay try at once.
func (s *Store) handOver(ctx context.Context, c *pgx.Conn) {
	if c.IsClosed() {
		return
	}
	s.unlock(ctx, c, relayLock)
	ended, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkWait)
	defer cancel()
	_, _ = c.Exec(ended, "select pg_notify('leat_outbox', $1)", s.schema) // else it tries within a second
}

// publish sends a page, topic by topic, until all of it is accepted or refused for good.
func (r *reader) publish(ctx context.Context, b *bus.Bus, page []row) ([]refusal, error) {
	var order []string
	byTopic := make(map[string][]row)
	for _, e := range page {
		if _, known := byTopic[e.topic]; !known {
			order = append(order, e.topic)
		}
		byTopic[e.topic] = append(byTopic[e.topic], e)
	}
	errs := make([]error, len(order))
	refused := make([][]refusal, len(order))
	var all sync.WaitGroup
	for i, topic := range order {
		all.Go(func() { refused[i], errs[i] = r.send(ctx, b, topic, byTopic[topic]) })
	}
	all.Wait()
	return slices.Concat(refused...), errors.Join(errs...)
}

// refusal is an event that no channel will take.
type refusal struct {
	row

	cause error
}

// send publishes the events of one topic, again and again.
func (r *reader) send(ctx context.Context, b *bus.Bus, topic string, rows []row) ([]refusal, error) {
	var refused []refusal
	for pause := failPause; ; pause = min(2*pause, maxPause) {
		events := make([]event.Event, 0, len(rows))
		var good []row
		for _, x := range rows {
			e, err := event.Decoder{MaxBytes: -1, KeepData: true}.ParseJSON(x.event)
			if err == nil {
				err = e.Validate()
			}
			if err != nil {
				refused = append(refused, refusal{x, err})
				continue
			}
			events, good = append(events, e), append(good, x)
		}
		if len(events) == 0 {
			return refused, nil
		}
		err := b.Forward(ctx, topic, events...)
		if err == nil {
			return refused, nil
		}
		var no []refusal
		rows, no = left(good, err)
		refused = append(refused, no...)
		if len(no) > 0 || forGood(err) { // what is left has a chance
			if len(rows) > 1 && len(no) == 0 {
				no, err := r.sendEach(ctx, b, topic, rows)
				return append(refused, no...), err
			}
			if len(rows) == 0 {
				return refused, nil
			}
			continue
		}
		if errors.Is(err, event.ErrClosed) {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		r.store.onError(fmt.Errorf("pgstore: relay: publish to %q: %w", topic, err))
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// sendEach publishes events by themselves: one of them is refused, and it isn't said which.
func (r *reader) sendEach(ctx context.Context, b *bus.Bus, topic string, rows []row) (refused []refusal, err error) {
	for i := range rows {
		no, err := r.send(ctx, b, topic, rows[i:i+1])
		if err != nil {
			return nil, err
		}
		refused = append(refused, no...)
	}
	return refused, nil
}

// left returns what is to be sent again after an error, and what never will be.
func left(rows []row, err error) (again []row, never []refusal) {
	some, partly := errors.AsType[*event.ProduceError](err)
	if !partly {
		if forGood(err) && len(rows) == 1 {
			return nil, []refusal{{rows[0], err}}
		}
		return rows, nil
	}
	for _, f := range some.Failed {
		if forGood(f.Err) {
			never = append(never, refusal{rows[f.Index], f.Err})
		} else {
			again = append(again, rows[f.Index])
		}
	}
	return again, never
}

// forGood reports whether an event will never be taken.
func forGood(err error) bool {
	_, invalid := errors.AsType[*event.AttributeError](err)
	return invalid || errors.Is(err, event.ErrTooLarge) || errors.Is(err, event.ErrDelayTooLong)
}
