package main

import (
	"context"
	"errors"
	"time"

	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/event"
	"github.com/leat-go/leat/stores/pgstore"
)

// PlaceOrder asks for one of an item.
type PlaceOrder struct {
	Item string `json:"item"`
}

// Receipt is the answer.
type Receipt struct {
	Number int64 `json:"number"`
}

// ErrSoldOut is the other answer.
var ErrSoldOut = event.NewError("sold_out", "the last one is gone")

// placeOrder runs in a transaction: the order, the record that the command was handled, and
// OrderPlaced are there together or not at all. When the process dies in between, another
// begins anew.
func (s *shop) placeOrder(ctx context.Context, c PlaceOrder) (Receipt, error) {
	buyer, err := sender(ctx)
	if err != nil {
		return Receipt{}, err
	}
	if err := s.step(ctx, 20, "reserving"); err != nil {
		return Receipt{}, err
	}
	if err := reserve(ctx, c.Item); err != nil {
		return Receipt{}, err
	}
	if err := s.step(ctx, 60, "charging"); err != nil {
		return Receipt{}, err
	}
	number, err := insertOrder(ctx, c.Item, buyer)
	if err != nil {
		return Receipt{}, err
	}
	return Receipt{number}, s.bus.Publish(ctx, OrderPlaced{Number: number, Item: c.Item})
}

// sender returns who has sent the command, by what the gateway has said. The command itself
// says what its sender likes.
func sender(ctx context.Context) (string, error) {
	o, ok := command.FromContext(ctx)
	if !ok || o.Subject == "" {
		return "", event.Permanent(errors.New("nobody has sent this command"))
	}
	return o.Subject, nil
}

// step tells who watches what is being done, and takes its time.
func (s *shop) step(ctx context.Context, percent int, note string) error {
	if err := command.Progress(ctx, percent, note); err != nil {
		s.cfg.log.Warn("the progress of an order", "error", err) // nobody buys less for it
	}
	timer := time.NewTimer(s.cfg.pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reserve takes one off the stock. Who else wants the item waits for the row until this
// transaction has ended, and then sees what is left.
func reserve(ctx context.Context, item string) error {
	done, err := pgstore.Tx(ctx).Exec(ctx,
		"update shop.stock set remaining = remaining - 1 where item = $1 and remaining > 0", item)
	if err == nil && done.RowsAffected() == 0 {
		err = ErrSoldOut
	}
	return err
}

func insertOrder(ctx context.Context, item, buyer string) (number int64, err error) {
	err = pgstore.Tx(ctx).QueryRow(ctx,
		"insert into shop.orders (item, buyer) values ($1, $2) returning id", item, buyer).Scan(&number)
	return number, err
}
