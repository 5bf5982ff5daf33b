# Four modules: leat, and three that keep peers and linters out of users' go.sum.
MODULES  := . test bench tools
TESTED   := . test tools
LINT     := golangci-lint
# A count, not a time: on Go 1.26 a target whose time is up can fail without a
# failing input (go.dev/issue/75804).
FUZZTIME ?= 20000x
BENCH    ?= .
# Servers that make test starts if it can, and stops if it started them; and a browser.
SERVICES ?= kafka rabbitmq redis nats ministack postgres chromium
TESTSUM  := go run -C tools ./testsum $(filter -v,$(TESTFLAGS))
# Tests on fakes of brokers in virtual time need a client library whose locks
# a synctest bubble can see through. A build tag gives it these, and only to them. The
# race detector has its share on real brokers: here it takes ten times as long.
BUBBLES  := -tags synctests -run Bubble
BUBBLED  := $(if $(wildcard bus/kafka),./bus/kafka/...)
# Packages that are tested when all others have been: they keep many servers busy, and
# some of the others measure out what a broker does in a second.
ALONE    := ./bus/watermillbridge/... ./stores/...
# The detector of data races; make test RACE= leaves it out.
RACE     ?= -race
# How many bad days the channel in memory has in make test.
SEEDS    ?= 1000
SEEDTESTS := ^(TestFaults|TestSeedReplaysTheRun)$$

SHELL       := bash
.SHELLFLAGS := -o pipefail -c

.PHONY: all servers test counted bubbles seeds vet lint fmt fmt-check tidy tidy-check bench fuzz

all: fmt-check tidy-check lint test

# Puts the servers in place, which make test does too where it can.
servers:
	@for s in $(SERVICES); do test/services/$${s%%=*} install || exit; done

# TESTFLAGS go to go test as well: make test TESTFLAGS='-run Order'
test: vet
	@test/services/with $(SERVICES) -- $(MAKE) --no-print-directory counted

# What make test runs once the servers are there: all of it, whatever fails on the way.
counted:
	@alone=$$(go list $(ALONE)); { rc=0; for m in $(TESTED); do \
		(cd $$m && go test -json $(RACE) -shuffle=on $(TESTFLAGS) $$(go list ./... | grep -vxF "$$alone")) || rc=1; \
	done; \
	go test -json $(RACE) -shuffle=on $(TESTFLAGS) $$alone || rc=1; \
	$(if $(findstring -run,$(TESTFLAGS)),,$(MAKE) --no-print-directory bubbles seeds TESTFLAGS='-json $(TESTFLAGS)' || rc=1;) \
	exit $$rc; } | $(TESTSUM)

bubbles:
	@$(if $(BUBBLED),go test -shuffle=on $(BUBBLES) $(TESTFLAGS) $(BUBBLED))

# The tests of faults with many seeds, without the race detector: it needs ten times
# as long, and has had its share of seeds before.
seeds:
	@LEAT_FAULTS_RUNS=$(SEEDS) go test -count=1 -run='$(SEEDTESTS)' $(TESTFLAGS) ./bus/memory ./bus/bustest

vet:
	@for m in $(MODULES); do (cd $$m && go vet ./...) || exit; done

lint:
	@rc=0; for m in $(MODULES); do \
		(cd $$m && go tool -modfile=$(CURDIR)/tools/go.mod $(LINT) run ./...) || rc=1; \
	done; exit $$rc

fmt:
	go tool -modfile=tools/go.mod $(LINT) fmt

fmt-check:
	@out=$$(gofmt -l .); test -z "$$out" || { echo "not formatted by gofmt:"; echo "$$out"; exit 1; }

tidy:
	@for m in $(MODULES); do (cd $$m && go mod tidy) || exit; done

tidy-check:
	@for m in $(MODULES); do (cd $$m && go mod tidy -diff) || exit; done

# Compare two runs: go tool -modfile=tools/go.mod benchstat old.txt new.txt
bench:
	@cd bench && go test -run='^$$' -bench='$(BENCH)' -benchmem $(BENCHFLAGS) ./...

# Each fuzz target for FUZZTIME (20000x: so many inputs; 1m: so long).
fuzz:
	@for m in . test; do cd $(CURDIR)/$$m && for pkg in $$(go list ./...); do \
		targets=$$(go test -list='^Fuzz' $$pkg) || { echo "$$targets"; exit 1; }; \
		for f in $$(echo "$$targets" | grep '^Fuzz'); do \
			echo "$$pkg $$f"; \
			go test -run='^$$' -fuzz="^$$f\$$" -fuzztime=$(FUZZTIME) $$pkg || exit; \
		done; \
	done || exit; done
