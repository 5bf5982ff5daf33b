// Command orders is a small shop over HTTP. Its page shows what is in stock, with a button
// for each item. A click sends the command place-order, which is answered by 202 and a
// Location; the page watches the order there until it is done, or has a problem: of two who
// want the last one at the same time, one gets it.
//
// The handler's effect is in PostgreSQL, and happens once. Without more, all is one process
// in which the channel is in memory. With Kafka and Redis the page and the worker can be
// processes of their own, of which any may be killed: see the flag -role.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `usage: go run ./examples/orders -postgres URL [-role all|web|worker] [-listen ADDRESS]
                                [-kafka BROKERS] [-redis ADDRESS] [-pause TIME] [-restock]

A small shop over HTTP. Open the address that it prints, in two browsers if you like, and
place orders.

  -postgres  where stock and orders are; the default is $LEAT_POSTGRES
  -role      all: the page and the worker, the default; web or worker: that alone, which
             needs -kafka and -redis
  -listen    where the page is; the default is 127.0.0.1:8080
  -kafka     host:port,... of Apache Kafka; without it the channel is in memory
  -redis     host:port of Redis; without it what became of orders is in memory
  -pause     what each step of an order takes, so that one can watch; the default is 1s
  -restock   fills the stock again
`

func main() {
	cfg, err := parse(os.Args[1:], os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return
	case err != nil:
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, cfg, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "orders:", err)
		os.Exit(1)
	}
}

// config is what the flags say, and what a test says besides.
type config struct {
	postgres, kafka, redis string
	role, listen           string
	pause                  time.Duration
	restock                bool

	broker brokerConfig
	grace  time.Duration // what runs may take to end
	log    *slog.Logger
}

// The roles of a process.
const (
	roleAll    = "all"
	roleWeb    = "web"
	roleWorker = "worker"
)

// parse reads the flags, and says to errout what is wrong with them.
func parse(args []string, errout io.Writer) (config, error) {
	cfg := config{
		broker: brokerConfig{app: "shop", session: missedAfter}, grace: 10 * time.Second,
		log: slog.New(slog.NewTextHandler(errout, nil)),
	}
	flags := flag.NewFlagSet("orders", flag.ContinueOnError)
	flags.SetOutput(errout)
	flags.Usage = func() { fmt.Fprint(errout, usage) }
	flags.StringVar(&cfg.postgres, "postgres", os.Getenv("LEAT_POSTGRES"), "")
	flags.StringVar(&cfg.kafka, "kafka", "", "")
	flags.StringVar(&cfg.redis, "redis", "", "")
	flags.StringVar(&cfg.role, "role", roleAll, "")
	flags.StringVar(&cfg.listen, "listen", "127.0.0.1:8080", "")
	flags.DurationVar(&cfg.pause, "pause", time.Second, "")
	flags.BoolVar(&cfg.restock, "restock", false, "")
	if err := flags.Parse(args); err != nil {
		return cfg, err // it has been said
	}
	err := cfg.check()
	if flags.NArg() > 0 {
		err = fmt.Errorf("%q is no flag", flags.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(errout, "orders: %v\n\n%s", err, usage)
	}
	return cfg, err
}

// errNoPostgres says how to get what is missing.
var errNoPostgres = errors.New("-postgres is missing. In a checkout this starts a PostgreSQL on 127.0.0.1, and says where it is:\n" +
	`  eval "$(test/services/up postgres)"`)

func (c config) check() error {
	switch c.role {
	case roleAll, roleWeb, roleWorker:
	default:
		return fmt.Errorf("-role is all, web or worker, not %q", c.role)
	}
	if c.postgres == "" {
		return errNoPostgres
	}
	if c.role != roleAll && (c.kafka == "" || c.redis == "") {
		return fmt.Errorf("-role %s needs -kafka and -redis: what is in memory is of one process", c.role)
	}
	return nil
}
