package bench

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/bus/memory"
)

// Row is the message of the insert scenario.
type Row struct {
	Number int    `json:"number"`
	Text   string `json:"text"`
}

// insertBatch is how many rows the batch handler gets at most.
const insertBatch = 500

// table is what rows are inserted into, by CPU work instead of a database: a part for
// each call, about 20 µs of hashing, and a part for each row, about 0.2 µs. What calls
// cost in a database, a round trip and a commit, is rather more.
type table struct {
	statement [32 << 10]byte
	row       [256]byte
	sum       [sha256.Size]byte
}

func (t *table) insert(rows ...Row) {
	t.sum = sha256.Sum256(t.statement[:])
	for i := range rows {
		binary.LittleEndian.PutUint64(t.row[:], uint64(rows[i].Number))
		copy(t.row[8:], rows[i].Text)
		t.sum = sha256.Sum256(t.row[:])
	}
}

// openInsert starts a Bus whose one worker inserts rows, one or many at a time.
func openInsert(inBatches bool) (*Stream, error) {
	t := newTally()
	into := new(table)
	channel := memory.New()
	b := bus.New(bus.Config{Channel: channel})
	if inBatches {
		bus.SubscribeBatch(b, "group", func(_ context.Context, rows []Row) error {
			into.insert(rows...)
			for range rows {
				t.one()
			}
			return nil
		}, bus.Batch(insertBatch, 10*time.Millisecond))
	} else {
		bus.Subscribe(b, "group", func(_ context.Context, r Row) error {
			into.insert(r)
			t.one()
			return nil
		})
	}
	ctx, cancel := Load{}.context()
	return startLeat(ctx, cancel, b, channel, t, func(n int) error {
		t.expect(n, false)
		for i := range n {
			if err := b.Publish(ctx, Row{i, "Mill Lane 7, Watford"}); err != nil {
				return err
			}
		}
		return nil
	})
}
