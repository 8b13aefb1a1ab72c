# What a developer and CI run. `make help` lists the targets.
#
# A fresh machine needs Go, make and, for the first start, root with apt and a
# network. Everything that is downloaded or built lands in .runtime/, everything
# that changes while running in .run/; both are ignored by git.

SHELL       := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

# For make chaos: empty FAULTS are all, SEED=0 makes one up.
SEED    ?= 0
ROUNDS  ?= 20
ROUND   ?= 0
CALLS   ?= 50
FAULTS  ?=
BRIEF   ?= 0
MINUTES ?= 0
REPORT  ?= .run/chaos.md

# For make run.
NODES   ?= 1
SPLIT   ?= 0
WORKERS ?= 1

# For make soak.
SEEDS ?= 10000
FIRST ?= 200

TOOLS   := $(CURDIR)/.runtime/bin
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
GO_BUILD := go build -trimpath -ldflags '-X main.version=$(VERSION)'
# End-to-end tests share ports and CPU with one another: one package at a time.
E2E_PACKAGES := ./e2e/... ./ari/... ./storage/... ./asterisk-conf/...

.PHONY: help run test test-parts test-quick test-unit test-e2e lint fmt generate vuln soak bench bench-scale chaos rolling build telephony clean distclean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: build $(TOOLS)/up ## Run all of it in the foreground, Ctrl-C ends it (NODES=2 SPLIT=1 WORKERS=2)
	@exec '$(TOOLS)/up' -nodes '$(NODES)' -split='$(SPLIT)' -workers '$(WORKERS)'

test: ## Every test: unit with -race, lint, end to end; all set-up done by itself
	@./e2e/leftovers.sh $(MAKE) --no-print-directory test-parts

test-parts: test-unit lint test-e2e

test-quick: ## The quick part: vet and unit tests without -race
	go vet ./...
	go test -timeout 5m ./...

test-unit: ## Unit tests with the race detector
	@./e2e/prerequisites.sh gcc
	CGO_ENABLED=1 go test -race -timeout 10m ./...

test-e2e: build telephony ## Tests against the real Asterisk, NATS and S3
	go test -tags e2e -count=1 -p 1 -timeout 30m $(E2E_PACKAGES)

lint: $(TOOLS)/golangci-lint ## Check style, common mistakes (.golangci.yml) and that flows can be replayed
	'$(TOOLS)/golangci-lint' config verify
	'$(TOOLS)/golangci-lint' run ./...
	go run ./apps/flowlint/cmd/flowlint ./apps/...

fmt: $(TOOLS)/golangci-lint ## Format all Go files
	'$(TOOLS)/golangci-lint' fmt ./...

generate: ## Write generated code anew
	go generate ./...

vuln: $(TOOLS)/govulncheck ## Look for known vulnerabilities (VULNDB=file:///… when offline)
	@./e2e/vuln.sh '$(TOOLS)/govulncheck' '$(VULNDB)'

soak: ## Simulate many worlds of crashes, pauses and lost messages (SEEDS=10000 FIRST=200)
	go test ./e2e/sim -run '^TestWorlds$$' -count=1 -timeout 0 -sim.first '$(FIRST)' -sim.seeds '$(SEEDS)'

bench: build telephony ## Measure calls a second beside a plain dialplan, one table
	go run ./e2e/cmd/bench

bench-scale: build ## Measure 50,000 calls on 100 simulated Asterisks
	go run ./e2e/cmd/benchscale

chaos: build telephony ## Break the platform under calls and listen (SEED=7 ROUNDS=20 CALLS=50 FAULTS=kill-worker,… MINUTES=20)
	@$(GO_BUILD) -o bin/chaos ./e2e/cmd/chaos
	@exec bin/chaos -minutes '$(MINUTES)' -seed '$(SEED)' -rounds '$(ROUNDS)' -round '$(ROUND)' -calls '$(CALLS)' -faults '$(FAULTS)' -brief='$(BRIEF)' -out '$(REPORT)'

rolling: build telephony ## Restart three workers one after the other for two minutes at 20 calls a second
	go test -tags e2e -count=1 -timeout 15m -v -run TestRollingRestart ./e2e/chaos -args -rolling 2m

build: ## Build bin/asterism
	@$(GO_BUILD) -o bin/asterism ./cmd/asterism

telephony: ## Prepare Asterisk and SIPp under .runtime/ (once; then milliseconds)
	go run ./e2e/cmd/telephony

clean: ## Remove what was built and what running has left
	@./e2e/running.sh
	rm -rf --one-file-system bin .run

distclean: clean ## The same, and the tools and telephony root as well
	rm -rf --one-file-system .runtime

.PHONY: $(TOOLS)/up
$(TOOLS)/up:
	@$(GO_BUILD) -o $@ ./e2e/cmd/up

# Tools are built once for each version that go.sum pins.
$(TOOLS)/golangci-lint: e2e/tools/lint/go.sum
	@echo 'building golangci-lint (once; takes minutes)'
	cd e2e/tools/lint && go build -trimpath -ldflags='-s -w' -o '$@' github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch '$@'

$(TOOLS)/govulncheck: e2e/tools/vuln/go.sum
	cd e2e/tools/vuln && go build -trimpath -ldflags='-s -w' -o '$@' golang.org/x/vuln/cmd/govulncheck
	@touch '$@'
