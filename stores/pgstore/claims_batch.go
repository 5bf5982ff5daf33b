package pgstore

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/leat-go/leat/idempotency"
)

// ClaimAll implements [idempotency.BatchStore], in one round trip and one transaction. That
// takes the locks of all keys: in an order that all take them in, or two would wait for each
// other.
func (s *Store) ClaimAll(ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim) ([]idempotency.Grant, []error) {
	grants, errs := make([]idempotency.Grant, len(keys)), make([]error, len(keys))
	batch := &pgx.Batch{}
	for _, i := range s.inOrder(keys) {
		if claims[i].Lease <= 0 {
			errs[i] = fmt.Errorf("pgstore: a lease of %v", claims[i].Lease)
			continue
		}
		sql, args := s.claim(keys[i], claims[i])
		batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
			var err error
			if grants[i], err = granted(row); err != nil {
				errs[i] = explained("claim", err)
			}
			return nil
		})
	}
	s.sendAll(ctx, batch, "claim", errs)
	return grants, errs
}

// CompleteAll implements [idempotency.BatchStore], in one round trip and one transaction.
func (s *Store) CompleteAll(ctx context.Context, keys []idempotency.Key, fences []uint64, records []idempotency.Record) []error {
	errs := make([]error, len(keys))
	batch := &pgx.Batch{}
	for _, i := range s.inOrder(keys) {
		record, err := records[i].MarshalBinary()
		if err != nil {
			errs[i] = err
			continue
		}
		sql, args := s.end(keys[i], fences[i], stateDone, nil, record)
		batch.Queue(sql, args...).QueryRow(func(row pgx.Row) error {
			var ours bool
			err := row.Scan(&ours)
			if err == nil && !ours {
				errs[i] = idempotency.ErrFenced
			}
			return err
		})
	}
	s.sendAll(ctx, batch, "the end of a claim", errs)
	return errs
}

// sendAll sends a batch. When it fails all that is in it has failed.
func (s *Store) sendAll(ctx context.Context, batch *pgx.Batch, what string, errs []error) {
	if batch.Len() == 0 {
		return
	}
	err := s.apart(ctx, func(b *pgx.Batch) { b.QueuedQueries = append(b.QueuedQueries, batch.QueuedQueries...) })
	if err != nil {
		for i := range errs {
			errs[i] = explained(what, err)
		}
	}
}

// inOrder returns indexes of keys in the order of their locks.
func (s *Store) inOrder(keys []idempotency.Key) []int {
	locks, order := make([]int64, len(keys)), make([]int, len(keys))
	for i, key := range keys {
		locks[i], order[i] = s.name(key).lock, i
	}
	slices.SortFunc(order, func(a, b int) int {
		switch {
		case locks[a] < locks[b]:
			return -1
		case locks[a] > locks[b]:
			return 1
		}
		return 0
	})
	return order
}
