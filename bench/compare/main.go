// Command compare measures leat and its peers in one run and prints the ratios of
// their times as tables in Markdown. The sides of a scenario take turns, round by
// round, so that what else the machine does hits all of them. Absolute times are
// not printed: they say more about the machine.
//
//	go run ./compare
//	go run ./compare -run 'raw|typed' -with 'channel|json' -rounds 21
package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"slices"

	"github.com/leat-go/leat/bench"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "compare:", err)
		os.Exit(1) //nolint:forbidigo // the one exit of the program
	}
}

func run() error {
	pattern := flag.String("run", "", "measure the scenarios whose names match this regular expression")
	peers := flag.String("with", "", "measure leat with the sides whose names match this regular expression")
	rounds := flag.Int("rounds", 11, "rounds of each scenario")
	events := flag.Int("events", 100_000, "events of each side in each round")
	flag.Parse()
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	with, err := regexp.Compile(*peers)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "%s, %s/%s, GOMAXPROCS=%d, %d rounds of %d events\n",
		runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0), *rounds, *events)
	for name, env := range bench.Servers() {
		if wanted.MatchString(name) && os.Getenv(env) == "" {
			fmt.Fprintf(os.Stdout, "\n%s is not measured: %s names no server\n", name, env)
		}
	}
	for _, scenario := range bench.Scenarios() {
		if !wanted.MatchString(scenario.Name) {
			continue
		}
		scenario.Sides = slices.DeleteFunc(scenario.Sides, func(side bench.Side) bool {
			return side.Kind != bench.Leat && !with.MatchString(side.Name)
		})
		samples, err := measure(scenario, max(*rounds, 1), max(*events, 1))
		if err != nil {
			return fmt.Errorf("%s: %w", scenario.Name, err)
		}
		table(os.Stdout, scenario, samples)
	}
	return nil
}
