// Command quickstart plays 329 real webhook deliveries of GitHub through a bus to
// three groups of handlers, and checks afterwards that everything arrived.
//
//   - projection counts deliveries per repository and type
//   - notifier sends notifications about pushes, issues and pull requests; it fails
//     now and then and is retried
//   - audit records every event
//
// One delivery is damaged on its way: it becomes a dead letter of the groups that
// decode it, is repaired and driven again. The command leaves with 0 only if what
// the groups counted is what stands in the file.
//
// It runs on the channel in memory, or with -channel on a server: of Apache Kafka, or
// through the bridge to Watermill of RabbitMQ, Redis or NATS. There it removes in the end
// what it has made.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/leat-go/leat/bus"
	"github.com/leat-go/leat/event"
)

const usage = `usage: go run ./examples/quickstart [-channel memory|kafka|rabbitmq|redis|nats] [-server ADDRESS]

Plays 329 real webhook deliveries of GitHub through a bus to three groups of
handlers: a projection, a notifier that fails now and then, and an audit trail.
Prints what happens, then what each group counted, and compares it with the file.

It takes a few seconds and leaves with 0 only if all counts agree.

  -channel  what the events go through: memory, the default, or a server
  -server   where it is: host:port,... of Kafka and Redis, a URL of RabbitMQ and NATS;
            the default is $LEAT_KAFKA, $LEAT_RABBITMQ, $LEAT_REDIS or $LEAT_NATS, else
            where such a server is by itself, on 127.0.0.1
`

// timeout is how long everything may take; cleaning up, a third of it besides.
const timeout = 45 * time.Second

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage) }
	name := flag.String("channel", "memory", "")
	server := flag.String("server", "", "")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := on(ctx, *name, cmp.Or(*server, serverOf(*name)), os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// on runs on the channel with a name and returns the exit code.
func on(ctx context.Context, name, server string, out, errout io.Writer) int {
	c, err := channel(name, server)
	if err != nil {
		fmt.Fprintln(errout, "quickstart:", err)
		if errors.Is(err, errNoChannel) {
			return 2
		}
		return 1
	}
	if name == "memory" {
		return quickstart(ctx, c, out, errout)
	}
	fresh()
	code := quickstart(ctx, c, out, errout)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout/3)
	defer cancel()
	if err := cleanUp(ctx, name, server); err != nil {
		fmt.Fprintln(errout, "quickstart: cleaning up:", err)
		return 1
	}
	return code
}

// quickstart runs on a channel and returns the exit code.
func quickstart(ctx context.Context, channel event.Channel, out, errout io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := run(ctx, channel, out); err != nil {
		fmt.Fprintln(errout, "quickstart:", err)
		return 1
	}
	return 0
}

// run is the whole story: subscribe, publish, wait, repair, drain, report.
func run(ctx context.Context, channel event.Channel, out io.Writer) (err error) {
	deliveries, err := readDeliveries()
	if err != nil {
		return err
	}
	p := newProgress(out)
	b := bus.New(bus.Config{Channel: channel, App: app, Hooks: []any{p}})
	projection := newProjection(b)
	notifier := newNotifier(b)
	audit := newAudit(b)
	if err := b.Start(ctx); err != nil { // every mistake in the set-up, at once
		return err
	}
	defer func() { err = errors.Join(err, b.Shutdown(ctx)) }() // for when something goes wrong before Drain

	p.sayf("started three groups: projection, notifier, audit")
	if err := play(ctx, b, deliveries, p); err != nil {
		return err
	}
	if err := p.wait(ctx, everythingHandledOrDead); err != nil {
		return err
	}
	if err := repair(ctx, b, deliveries, p); err != nil {
		return err
	}
	if err := p.wait(ctx, everythingHandled); err != nil {
		return err
	}
	if err := b.Drain(ctx); err != nil && !unknown(err) { // handles what was accepted, then stops
		return err
	}
	p.sayf("drained and stopped")

	report(out, projection, p)
	return check(out, projection, notifier, audit, p)
}

// unknown reports whether a channel could only not tell whether something is left.
func unknown(err error) bool {
	left, ok := errors.AsType[*bus.LeftError](err)
	return ok && left.Unknown
}
