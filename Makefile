# A machine with Go and make builds, tests and plays the demo. Only `make race`
# needs a C compiler, only `make test-real` needs Java and Maven.

# Pinned here rather than in go.mod, which would take over their dependencies.
# (Not LINT: make predefines that one.)
GOLANGCI = go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
GOFUMPT  = go run mvdan.cc/gofumpt@v0.12.0

# The packages whose goroutines share data: the path of a record, the commit
# protocol, the worker group and the stack they are tried on.
RACE = ./internal/... ./worker/... ./connectors/... ./converters/... ./rest/...

FUZZTIME ?= 30s

.PHONY: build test test-real chaos mutants race lint fmt bench microbench fuzz check

build:
	CGO_ENABLED=0 go build -trimpath -ldflags="-s -w" -o firn .

test:
	go test ./...

# Real servers: Kafka, Apicurio, versitygw, the Iceberg REST fixture, PostgreSQL, the
# Java sink; DuckDB, PyIceberg and Spark read. The first run installs them into the
# user's cache folder. -v, so that a skip is seen; under CI=true a missing part fails.
test-real:
	go test -tags real -count 1 -timeout 40m -v ./internal/realtest/...

# The simulations of the commit protocol and of whole clusters, 2,000 seeds instead of
# 200; then with each guard of the protocol switched off; then kill -9 on real servers,
# where there are any. SEED=n plays one seed alone and tells what happens.
SEEDS ?= 2000
ROUNDS ?= 100
chaos:
	go test -count 1 -timeout 30m -run '^TestSimulation$$' ./connectors/iceberg/commit ./internal/simtest \
	  $(if $(SEED),-v -sim.seed $(SEED),-sim.seeds $(SEEDS))
	$(if $(SEED),,$(MAKE) mutants)
	$(if $(SEED),,FIRN_KILL_ROUNDS=$(ROUNDS) go test -tags real -count 1 -timeout 60m -v -run 'TestReal/(Kills|Upserts)' ./internal/realtest)

# The simulation of the commit protocol must notice when a guard is not there.
mutants:
	go test -count 1 -timeout 60m -v -run '^TestMutants$$' ./internal/mutants -mutants.run

# Fewer seeds: the race detector makes each ten times slower.
race:
	SEEDS=20 CGO_ENABLED=1 go test -race -timeout 20m $(RACE)

lint:
	$(GOLANGCI) run ./...

fmt:
	$(GOFUMPT) -w .

# The whole sink against a broker in another process; one JSON line per measurement.
bench:
	go run ./bench

# Functions, for benchstat.
microbench:
	go test -run '^$$' -bench . -count 10 ./... | tee bench.txt

# Every fuzz target in turn: go test takes one at a time.
fuzz:
	@set -e; for pkg in $$(go list ./...); do \
	  for f in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "$$pkg $$f"; go test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg; \
	  done; done

check: lint test
