package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/leat-go/leat/payload"
)

// Payloads is a [payload.Store] in Redis. Its methods may be called concurrently, by any
// number of processes.
type Payloads struct {
	client redis.UniversalClient
	prefix string
}

var _ payload.Store = (*Payloads)(nil)

// PayloadConfig says where. The zero value is usable.
type PayloadConfig struct {
	Prefix string // of all keys; "": leat:payload:
}

const defaultPayloadPrefix = "leat:payload:"

// NewPayloads returns a store on a client, which stays open.
func NewPayloads(client redis.UniversalClient, cfg PayloadConfig) *Payloads {
	if cfg.Prefix == "" {
		cfg.Prefix = defaultPayloadPrefix
	}
	return &Payloads{client, cfg.Prefix}
}

// Put implements [payload.Store].
func (p *Payloads) Put(ctx context.Context, name string, data []byte, keep time.Duration) error {
	if keep < time.Millisecond {
		return fmt.Errorf("redisstore: a payload that is kept for %v", keep)
	}
	if err := p.client.Set(ctx, p.prefix+name, data, keep).Err(); err != nil {
		return fmt.Errorf("redisstore: put a payload: %w", err)
	}
	return nil
}

// Get implements [payload.Store].
func (p *Payloads) Get(ctx context.Context, name string) ([]byte, error) {
	data, err := p.client.Get(ctx, p.prefix+name).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, payload.ErrGone
	case err != nil:
		return nil, fmt.Errorf("redisstore: get a payload: %w", err)
	}
	return data, nil
}

// Expire implements [payload.Store].
func (p *Payloads) Expire(ctx context.Context, name string, keep time.Duration) error {
	if err := p.client.PExpire(ctx, p.prefix+name, max(keep, time.Millisecond)).Err(); err != nil {
		return fmt.Errorf("redisstore: let a payload expire: %w", err)
	}
	return nil
}

// Delete implements [payload.Store].
func (p *Payloads) Delete(ctx context.Context, name string) error {
	if err := p.client.Del(ctx, p.prefix+name).Err(); err != nil {
		return fmt.Errorf("redisstore: delete a payload: %w", err)
	}
	return nil
}
