package pgstore

import "github.com/leat-go/leat/idempotency"

// results are what a transaction writes before its commit, whatever its driver.
type results struct {
	rows    outboxRows
	names   []name   // of the keys that have a record
	records [][]byte // theirs
}

// results sorts what became of the keys that were claimed.
func (s *Store) results(keys []idempotency.Key, grants []idempotency.Grant, done []idempotency.Record) (results, error) {
	var all results
	for i, r := range done {
		if grants[i].State != idempotency.Claimed {
			continue
		}
		if err := all.rows.add(r.Sent); err != nil {
			return all, err
		}
		r.Sent = nil // the outbox has it
		record, err := r.MarshalBinary()
		if err != nil {
			return all, err
		}
		if record != nil {
			all.names, all.records = append(all.names, s.name(keys[i])), append(all.records, record)
		}
	}
	return all, nil
}
