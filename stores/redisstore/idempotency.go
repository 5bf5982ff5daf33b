package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/idempotency"
)

// Idempotency is an [idempotency.Store] in Redis. Its methods may be called concurrently,
// by any number of processes.
type Idempotency struct {
	client redis.UniversalClient
	prefix string
	window time.Duration
}

var _ idempotency.BatchStore = (*Idempotency)(nil)

// IdempotencyConfig says where and for how long. The zero value is usable.
type IdempotencyConfig struct {
	Prefix string        // of all keys; "": leat:once:
	Window time.Duration // how long a record is kept; 0: 14 days, for as long as SQS can bring an event again
}

const (
	defaultPrefix = "leat:once:"
	defaultWindow = 14 * 24 * time.Hour
)

// NewIdempotency returns a store on a client, which stays open.
func NewIdempotency(client redis.UniversalClient, cfg IdempotencyConfig) *Idempotency {
	if cfg.Prefix == "" {
		cfg.Prefix = defaultPrefix
	}
	if cfg.Window <= 0 {
		cfg.Window = defaultWindow
	}
	return &Idempotency{client, cfg.Prefix, cfg.Window}
}

// Window implements [idempotency.Store].
func (s *Idempotency) Window() time.Duration { return s.window }

// The fields of a key's hash: s is its state (claimed, done, failed, released), f the
// number of the last claim, a how many there were, u when the lease ends, in ms since 1970
// by the server's clock, p the fingerprint, r the record.
var claim = redis.NewScript(`
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local lease, fingerprint, retake, window = tonumber(ARGV[1]), ARGV[2], ARGV[3], tonumber(ARGV[4])
local s, f, a, u, p, r = unpack(redis.call('HMGET', KEYS[1], 's', 'f', 'a', 'u', 'p', 'r'))
if s and p and p ~= '' and fingerprint ~= '' and p ~= fingerprint then return {'mismatch'} end
if s == 'done' then return {'completed', r or ''} end
if s == 'failed' and retake == '0' then return {'failed'} end
if s == 'claimed' and tonumber(u) > now then return {'busy', tonumber(u) - now} end
f, a = (tonumber(f) or 0) + 1, (tonumber(a) or 0) + 1
redis.call('HSET', KEYS[1], 's', 'claimed', 'f', f, 'a', a, 'u', now + lease)
if not s then redis.call('HSET', KEYS[1], 'p', fingerprint) end
redis.call('PEXPIRE', KEYS[1], lease + window)
return {'claimed', f, a}
`)

// change changes the state of a claim: to what ARGV[2] says, with a record or a lease.
var change = redis.NewScript(`
local s, f = unpack(redis.call('HMGET', KEYS[1], 's', 'f'))
if s ~= 'claimed' or f ~= ARGV[1] then return 0 end
local to, window = ARGV[2], tonumber(ARGV[3])
if to == 'claimed' then
	local time = redis.call('TIME')
	local lease = tonumber(ARGV[4])
	redis.call('HSET', KEYS[1], 'u', time[1] * 1000 + math.floor(time[2] / 1000) + lease)
	redis.call('PEXPIRE', KEYS[1], lease + window)
	return 1
end
redis.call('HSET', KEYS[1], 's', to)
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'r', ARGV[4]) end
redis.call('PEXPIRE', KEYS[1], window)
return 1
`)

var errLease = errors.New("redisstore: a claim needs a lease of 1 ms at least")

// Claim implements [idempotency.Store].
func (s *Idempotency) Claim(ctx context.Context, key idempotency.Key, c idempotency.Claim) (idempotency.Grant, error) {
	if c.Lease < time.Millisecond {
		return idempotency.Grant{}, errLease
	}
	return granted(claim.Run(ctx, s.client, s.keys(key), s.asked(c)...))
}

// asked are the arguments of the script that claims.
func (s *Idempotency) asked(c idempotency.Claim) []any {
	retake := 0
	if c.Retake {
		retake = 1
	}
	return []any{c.Lease.Milliseconds(), c.Fingerprint, retake, s.window.Milliseconds()}
}

// granted reads the answer of the script that claims.
func granted(cmd *redis.Cmd) (idempotency.Grant, error) {
	answer, err := cmd.Slice()
	if err != nil {
		return idempotency.Grant{}, fmt.Errorf("redisstore: claim: %w", err)
	}
	g, err := grant(answer)
	if err != nil {
		return idempotency.Grant{}, fmt.Errorf("redisstore: claim: %w", err)
	}
	return g, nil
}

func (s *Idempotency) keys(key idempotency.Key) []string { return []string{s.prefix + key.String()} }

// grant reads the answer to a claim.
func grant(answer []any) (g idempotency.Grant, err error) {
	word := func(i int) string { w, _ := at(answer, i).(string); return w }
	number := func(i int) int64 { n, _ := at(answer, i).(int64); return n }
	switch word(0) {
	case "claimed":
		return idempotency.Grant{State: idempotency.Claimed, Fence: uint64(number(1)), Attempts: int(number(2))}, nil
	case "busy":
		return idempotency.Grant{State: idempotency.Busy, Left: time.Duration(number(1)) * time.Millisecond}, nil
	case "failed":
		return idempotency.Grant{State: idempotency.Failed}, nil
	case "mismatch":
		return idempotency.Grant{State: idempotency.Mismatch}, nil
	case "completed":
		g.State = idempotency.Completed
		return g, g.Record.UnmarshalBinary([]byte(word(1)))
	}
	return g, fmt.Errorf("the script answered %q", word(0))
}

func at(all []any, i int) any {
	if i >= len(all) {
		return nil
	}
	return all[i]
}

// Extend implements [idempotency.Store].
func (s *Idempotency) Extend(ctx context.Context, key idempotency.Key, fence uint64, lease time.Duration) error {
	return s.change(ctx, key, fence, "claimed", lease.Milliseconds())
}

// Complete implements [idempotency.Store].
func (s *Idempotency) Complete(ctx context.Context, key idempotency.Key, fence uint64, r idempotency.Record) error {
	record, err := r.MarshalBinary()
	if err != nil {
		return err
	}
	return s.change(ctx, key, fence, "done", record)
}

// Fail implements [idempotency.Store].
func (s *Idempotency) Fail(ctx context.Context, key idempotency.Key, fence uint64) error {
	return s.change(ctx, key, fence, "failed", "")
}

// Release implements [idempotency.Store].
func (s *Idempotency) Release(ctx context.Context, key idempotency.Key, fence uint64) error {
	return s.change(ctx, key, fence, "released", "")
}

func (s *Idempotency) change(ctx context.Context, key idempotency.Key, fence uint64, to string, with any) error {
	return changed(to, change.Run(ctx, s.client, s.keys(key), fence, to, s.window.Milliseconds(), with))
}

// changed reads the answer of the script that changes.
func changed(to string, cmd *redis.Cmd) error {
	n, err := cmd.Int()
	switch {
	case err != nil:
		return fmt.Errorf("redisstore: %s: %w", to, err)
	case n == 0:
		return idempotency.ErrFenced
	}
	return nil
}
