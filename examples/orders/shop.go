package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/command"
	"github.com/leat-go/leat/stores/pgstore"
)

// shop is one process of it.
type shop struct {
	cfg     config
	pool    *pgxpool.Pool
	effects *pgstore.Store // what was handled, and what is to be published
	bus     *bus.Bus
	keep    command.Config // what is kept of the orders beside the channel
	gateway http.Handler   // nil for a worker
	closes  []func()
}

// workers is how many orders a process handles at a time. Each holds a connection to
// PostgreSQL, and a few more are for the page and the relay.
const workers = 8

func newShop(ctx context.Context, cfg config) (_ *shop, err error) {
	s := &shop{cfg: cfg}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if err := s.connect(ctx); err != nil {
		return nil, fmt.Errorf("PostgreSQL: %w", err)
	}
	s.keep = s.kept()
	s.bus = bus.New(bus.Config{
		App: cfg.broker.app, Catalog: cfg.broker.catalog, Channel: s.channel(), Logger: cfg.log,
	})
	command.Use(s.bus, s.keep)
	if cfg.role != roleWeb {
		s.work()
	}
	if cfg.role != roleWorker {
		s.open()
	}
	return s, nil
}

// connect makes sure that the tables are there.
func (s *shop) connect(ctx context.Context) error {
	cfg, err := pgxpool.ParseConfig(s.cfg.postgres)
	if err != nil {
		return err
	}
	cfg.MaxConns = workers + 4
	if s.pool, err = pgxpool.NewWithConfig(ctx, cfg); err != nil {
		return err
	}
	s.closes = append(s.closes, s.pool.Close)
	s.effects = pgstore.New(s.pool, pgstore.OnError(func(err error) { s.cfg.log.Warn("the store of effects", "error", err) }))
	return errors.Join(s.effects.Migrate(ctx), s.makeTables(ctx))
}

// work says what a worker does.
func (s *shop) work() {
	command.HandleResult(s.bus, s.placeOrder, bus.With(s.effects.InTx()), bus.Workers(workers))
	bus.Subscribe(s.bus, "packing", s.pack)
}

// open says what comes in over HTTP.
func (s *shop) open() {
	command.Expose[PlaceOrder](s.bus)
	s.gateway = command.Gateway(s.bus, command.GatewayConfig{
		Authorize: buyerOf,
		OnError: func(r *http.Request, err error) {
			s.cfg.log.Warn("a request", "method", r.Method, "path", r.URL.Path, "error", err)
		},
	})
}

func (s *shop) close() {
	for _, f := range s.closes {
		f()
	}
}
