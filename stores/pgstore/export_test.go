package pgstore

import "context"

// Table returns the full name of a table.
func (s *Store) Table(name string) string { return s.prefix + name }

// KeepOnce keeps the partitions once.
func (s *Store) KeepOnce(ctx context.Context) error { return s.keepOnce(ctx) }

// SchemaName returns the name of the store's schema.
func (s *Store) SchemaName() string { return s.schema }
