package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/leat-go/leat/event"
)

// run opens the shop, and serves until ctx ends. It says to out when it is open.
func run(ctx context.Context, cfg config, out io.Writer) error {
	s, err := newShop(ctx, cfg)
	if err != nil {
		return err
	}
	defer s.close()
	listener, err := s.listen(ctx)
	if err != nil {
		return err
	}
	if err := s.bus.Start(ctx); err != nil { // every mistake in the set-up, at once
		return err
	}
	all, ctx := errgroup.WithContext(ctx)
	all.Go(func() error {
		<-ctx.Done()
		return s.shutDown(ctx)
	})
	if cfg.role != roleWeb {
		all.Go(func() error { return s.relay(ctx) })
	}
	if listener == nil {
		fmt.Fprintln(out, "the worker is at work")
	} else {
		fmt.Fprintf(out, "the shop is open: http://%s\n", listener.Addr())
		all.Go(func() error { return s.serve(ctx, listener) })
	}
	return all.Wait()
}

// listen takes the address of the page. A worker has none.
func (s *shop) listen(ctx context.Context) (net.Listener, error) {
	if s.cfg.role == roleWorker {
		return nil, nil //nolint:nilnil // as said
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.listen)
}

func (s *shop) shutDown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.grace)
	defer cancel()
	return s.bus.Shutdown(ctx)
}

// relay publishes what handlers have left in the database. One process at a time does.
func (s *shop) relay(ctx context.Context) error {
	err := s.effects.Relay(ctx, s.bus)
	if ctx.Err() != nil || errors.Is(err, event.ErrClosed) {
		return nil //nolint:nilerr // that is how it ends
	}
	return err
}
