package redisstore

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/idempotency"
)

// ClaimAll implements [idempotency.BatchStore], in one round trip.
func (s *Idempotency) ClaimAll(ctx context.Context, keys []idempotency.Key, claims []idempotency.Claim) ([]idempotency.Grant, []error) {
	grants, errs := make([]idempotency.Grant, len(keys)), make([]error, len(keys))
	cmds := make([]*redis.Cmd, len(keys))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each has its own error
		for i, key := range keys {
			if claims[i].Lease >= time.Millisecond {
				cmds[i] = claim.EvalSha(ctx, p, s.keys(key), s.asked(claims[i])...)
			}
		}
		return nil
	})
	for i, cmd := range cmds {
		if cmd == nil || redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") { // without a lease; or the server has restarted
			grants[i], errs[i] = s.Claim(ctx, keys[i], claims[i])
			continue
		}
		grants[i], errs[i] = granted(cmd)
	}
	return grants, errs
}

// CompleteAll implements [idempotency.BatchStore], in one round trip.
func (s *Idempotency) CompleteAll(ctx context.Context, keys []idempotency.Key, fences []uint64, records []idempotency.Record) []error {
	errs := make([]error, len(keys))
	cmds := make([]*redis.Cmd, len(keys))
	_, _ = s.client.Pipelined(ctx, func(p redis.Pipeliner) error { // each has its own error
		for i, key := range keys {
			var record []byte
			if record, errs[i] = records[i].MarshalBinary(); errs[i] == nil {
				cmds[i] = change.EvalSha(ctx, p, s.keys(key), fences[i], "done", s.window.Milliseconds(), record)
			}
		}
		return nil
	})
	for i, cmd := range cmds {
		switch {
		case cmd == nil: // can't be encoded
		case redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT"): // the server has restarted
			errs[i] = s.Complete(ctx, keys[i], fences[i], records[i])
		default:
			errs[i] = changed("done", cmd)
		}
	}
	return errs
}
