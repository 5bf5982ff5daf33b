package main

import "context"

// OrderPlaced follows from a command that succeeded. It goes out when the order is in the
// database, and only then.
type OrderPlaced struct {
	Number int64  `json:"number"`
	Item   string `json:"item"`
}

// pack is what others do about it.
func (s *shop) pack(_ context.Context, e OrderPlaced) error {
	s.cfg.log.Info("packing", "order", e.Number, "item", e.Item)
	return nil
}
