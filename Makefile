# Four modules: leat, and three that keep peers and linters out of users' go.sum.
MODULES  := . test bench tools
TESTED   := . test tools
LINT     := golangci-lint
# A count, not a time: on Go 1.26 a target whose time is up can fail without a
# failing input (go.dev/issue/75804).
FUZZTIME ?= 20000x
BENCH    ?= .
# How many bad days the channel in memory has in make test.
SEEDS    ?= 1000
SEEDTESTS := ^(TestFaults|TestSeedReplaysTheRun)$$

.PHONY: all test seeds vet lint fmt fmt-check tidy tidy-check bench fuzz

all: fmt-check tidy-check lint test

# TESTFLAGS go to go test as well: make test TESTFLAGS='-run Order'
test: vet
	@for m in $(TESTED); do (cd $$m && go test -race -shuffle=on $(TESTFLAGS) ./...) || exit; done
	@$(if $(findstring -run,$(TESTFLAGS)),,$(MAKE) --no-print-directory seeds)

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
