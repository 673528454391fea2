# Everything that people and CI do with this repository. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
TOOL := $(GO) tool -modfile=tools/go.mod

# PKG narrows what is tested, RACE=1 adds the race detector (needs a C compiler), ARGS goes to `go test`, or to the demo.
PKG ?= ./...
RACE ?=
ARGS ?=
TESTFLAGS := -timeout=45m $(if $(RACE),-race) $(ARGS)

# CHAOS_TIME is for how long `make chaos` breaks things; CHAOS_SEED and CHAOS_ROUND play again what a run has shown.
CHAOS_TIME ?= 10m
CHAOS_SEED ?=
CHAOS_ROUND ?=

# SEEDS is how many random rollouts the simulation plays; SEED=42 plays that one again and shows its trace.
SEEDS ?= 100000
SEED ?=

# FEWSEEDS is for the tests that people run often; CI plays more.
FEWSEEDS := ROLLCALL_SIM_SEEDS=300

# REF is the commit that make bench-compare measures beside this checkout.
REF ?= HEAD~1

# BREAK narrows the mutants to those whose name contains it.
BREAK ?=

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | awk -F'\t' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: run
run: ensure bin/rollcall-server ## Run Rollcall on http://localhost:8080, with its own database
	@exec bin/rollcall-server --dev

.PHONY: demo
demo: ensure bin/rollcall-server bin/fleet ## Roll a version out over pretend targets, and watch
	@scripts/demo $(ARGS)

.PHONY: build
build: bin/rollcall-server bin/rollcall bin/fleet ## Build the programs into bin/

# Without cgo, so that they run anywhere. Go knows best what changed.
.PHONY: bin/rollcall-server bin/rollcall bin/fleet
bin/rollcall-server: ; CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/server
bin/rollcall:        ; CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/rollcall
bin/fleet:           ; CGO_ENABLED=0 $(GO) build -trimpath -o $@ ./cmd/fleet

.PHONY: test
test: ensure ## Test against a real PostgreSQL, all but what is slow by nature; PKG=./internal/store RACE=1 ARGS='-run Claim'
	$(FEWSEEDS) $(if $(RACE),CGO_ENABLED=1) $(GO) run ./internal/dbtest/serve -- $(GO) test $(strip $(TESTFLAGS)) $(PKG)

.PHONY: test-short
test-short: ## Test what needs neither a database nor the programs
	$(FEWSEEDS) $(GO) test -short $(strip $(TESTFLAGS)) $(PKG)

.PHONY: test-slow
test-slow: ensure ## Test what is slow by nature and left out of make test: real timeouts, and a kill at every moment
	names="$$(scripts/slow-tests names)"; packages="$$(scripts/slow-tests packages)"; \
	ROLLCALL_SLOW=1 $(if $(RACE),CGO_ENABLED=1) $(GO) run ./internal/dbtest/serve -- \
		$(GO) test -run="$$names" $(strip $(TESTFLAGS)) $$packages

.PHONY: test-containers
test-containers: ## Test the image, docker-compose.yml and PostgreSQL in a container, on a Docker engine
	ROLLCALL_CONTAINERS=1 $(GO) test -count=1 -timeout=30m -v -run='^Test(Container|Compose|Image)_' $(ARGS) ./internal/dbtest ./internal/e2e/containers

.PHONY: test-times
test-times: ensure ## make test, and then the tests and packages that took longest
	@scripts/test-times $(MAKE) --no-print-directory test PKG="$(PKG)" RACE=$(RACE) ARGS="-v -count=1 $(ARGS)"

.PHONY: sim
sim: ## Play many random rollouts through the planner; SEEDS=1000000, or SEED=42 to replay one
	ROLLCALL_SIM_SEEDS=$(SEEDS) ROLLCALL_SIM_SEED=$(SEED) \
		$(GO) test -count=1 -timeout=60m -run='Rollout|Crash' $(if $(SEED),-v) $(ARGS) ./internal/strategy

.PHONY: chaos
chaos: ensure ## Break everything at random, for CHAOS_TIME; CHAOS_SEED=42 breaks the same again, CHAOS_ROUND=7 only one round
	ROLLCALL_SLOW=1 CHAOS_TIME=$(CHAOS_TIME) CHAOS_SEED=$(CHAOS_SEED) CHAOS_ROUND=$(CHAOS_ROUND) \
		$(GO) test -count=1 -timeout=24h -v -run='^TestChaos_' $(ARGS) ./internal/e2e

.PHONY: chaos-sum
chaos-sum: ## Add up how often each fault fired in all runs of make chaos (bin/chaos)
	@$(GO) run ./internal/e2e/chaos/sum

# These break the fences, the write-ahead, the memory of people's intents, the idempotency, the belief in checks and the look at
# routers.
CHAOS_BREAKS := nothing-is-fenced,result-before-call,command-in-memory,idempotency-in-memory,fence-stands,version-not-checked,drift-not-looked-for

.PHONY: chaos-breaks
chaos-breaks: ensure ## Apply mutants, and demand that chaos finds each within CHAOS_TIME; BREAK=epoch
	CHAOS_TIME=$(CHAOS_TIME) CHAOS_SEED=$(CHAOS_SEED) $(GO) run ./internal/mutation/run -chaos -only='$(or $(BREAK),$(CHAOS_BREAKS))'

.PHONY: sweep
sweep: ensure ## Kill the server just before and just after everything that can be seen of five rollouts
	ROLLCALL_SLOW=1 ROLLCALL_SWEEP=all $(GO) run ./internal/dbtest/serve -- \
		$(GO) test -count=1 -timeout=60m -parallel=4 -run=^TestSweep_ $(ARGS) ./internal/e2e

.PHONY: breaks
breaks: ensure ## Apply each mutant of internal/mutation, and demand that its tests fail; BREAK=epoch
	$(GO) run ./internal/dbtest/serve -- $(GO) run ./internal/mutation/run -only='$(BREAK)'

.PHONY: bench
bench: ensure bin/rollcall-server ## Measure what a rollout costs beside a plain loop; ARGS='-only 200/20 -repeat 10 -markdown'
	@mkdir -p bin
	$(GO) run ./internal/e2e/bench $(ARGS) | tee bin/bench.txt

.PHONY: bench-scale
bench-scale: ensure bin/rollcall-server ## Measure a server with 300,000 finished and 100,000 unfinished deployments; ARGS='-markdown'
	@mkdir -p bin
	$(GO) run ./internal/e2e/bench -scale $(ARGS) | tee bin/bench-scale.txt

.PHONY: bench-compare
bench-compare: ensure bin/rollcall-server ## Measure this checkout beside another commit, in turns; REF=main~10
	@scripts/bench-compare "$(REF)" $(ARGS)

.PHONY: bench-go
bench-go: ensure ## Run the packages' own benchmarks; PKG=./internal/store
	@mkdir -p bin
	$(GO) run ./internal/dbtest/serve -- $(GO) test -run='^$$' -bench=. -benchmem -count=6 $(ARGS) $(PKG) > bin/bench.raw
	$(TOOL) benchstat bin/bench.raw

.PHONY: lint
lint: ## Formatting, vet, linters
	@unformatted="$$($(TOOL) gofumpt -l .)"; \
	if [[ -n "$$unformatted" ]]; then echo "not formatted (run make fmt):" $$unformatted; exit 1; fi
	$(GO) vet ./...
	$(TOOL) golangci-lint run

.PHONY: fmt
fmt: ## Format the code
	$(TOOL) gofumpt -w .

.PHONY: generate
generate: ## Regenerate the generated files
	$(GO) generate ./...

.PHONY: tidy
tidy: ## Bring go.mod and go.sum up to date
	$(GO) mod tidy

.PHONY: check
check: ## All that CI does
	@.ci/run

.PHONY: ensure
ensure:
	@scripts/ensure-go
	@scripts/ensure-postgres
