package idempotency

import (
	"context"
)

// BatchStore is a [Store] that does for many keys at once what it does for one: in one
// round trip. The middleware uses it for batches; other stores are asked key by key.
type BatchStore interface {
	Store

	// ClaimAll is Claim for different keys. Each has its grant, or its error.
	ClaimAll(ctx context.Context, keys []Key, claims []Claim) ([]Grant, []error)

	// CompleteAll is Complete for different keys. Each has its error, or nil.
	CompleteAll(ctx context.Context, keys []Key, fences []uint64, records []Record) []error
}

// claimAll claims different keys.
func claimAll(ctx context.Context, s Store, keys []Key, claims []Claim) ([]Grant, []error) {
	if many, ok := s.(BatchStore); ok && len(keys) > 1 {
		return many.ClaimAll(ctx, keys, claims)
	}
	grants, errs := make([]Grant, len(keys)), make([]error, len(keys))
	for i, key := range keys {
		grants[i], errs[i] = s.Claim(ctx, key, claims[i])
	}
	return grants, errs
}

// completeAll completes different keys.
func completeAll(ctx context.Context, s Store, keys []Key, fences []uint64, records []Record) []error {
	if many, ok := s.(BatchStore); ok && len(keys) > 1 {
		return many.CompleteAll(ctx, keys, fences, records)
	}
	errs := make([]error, len(keys))
	for i, key := range keys {
		errs[i] = s.Complete(ctx, key, fences[i], records[i])
	}
	return errs
}
