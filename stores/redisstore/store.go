package redisstore

import (
	"sync"

	"github.com/redis/go-redis/v9"
)

// Store is all that leat keeps in one Redis, with the defaults of each. Its methods may be
// called concurrently.
type Store struct {
	client     redis.UniversalClient
	operations func() *Operations
}

// New returns the stores on a client, which stays open.
func New(client redis.UniversalClient) *Store {
	return &Store{client, sync.OnceValue(func() *Operations { return NewOperations(client, OperationsConfig{}) })}
}

// Idempotency returns the store of what was handled. See [NewIdempotency].
func (s *Store) Idempotency() *Idempotency { return NewIdempotency(s.client, IdempotencyConfig{}) }

// Payloads returns the store of large payloads. See [NewPayloads].
func (s *Store) Payloads() *Payloads { return NewPayloads(s.client, PayloadConfig{}) }

// Operations returns the store of operations, one for all who ask. See [NewOperations].
func (s *Store) Operations() *Operations { return s.operations() }

// Close ends the connection by which operations are watched, and not the client.
func (s *Store) Close() error { return s.operations().Close() }
