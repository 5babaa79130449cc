# One front door: what people run and what CI runs are the same targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
# Pinned, so that a new rule of the linter is a commit here and not a surprise in CI.
REDOCLY := @redocly/cli@2.77.0

.PHONY: help
help: ## Show these targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo run
demo: ## Simulated clouds, gateway and embedded record, with curl lines to paste
	$(CARGO) run --release -- demo

run: ## The gateway, with ./killgate.toml or the file in KILLGATE_CONFIG
	$(CARGO) run --release -- serve

.PHONY: test
test: ## All tests, on SQLite and a throw-away Postgres, against real database servers
	scripts/test-postgres.sh run -- $(CARGO) test

.PHONY: test-under-load
test-under-load: ## All tests at the lowest priority beside busy loops: no verdict may hang on speed
	$(CARGO) test --no-run
	scripts/under-load.sh scripts/test-postgres.sh run -- $(CARGO) test

.PHONY: pictures
pictures: ## Make the pictures in docs/pictures anew, in a real browser
	KILLGATE_PICTURES=1 $(CARGO) test --test it -- console::pictures::

.PHONY: bench
bench: ## Figures beside what they are to be compared with, on a throw-away durable Postgres
	KILLGATE_TEST_DURABLE=1 scripts/test-postgres.sh run -- $(CARGO) bench --bench gateway

.PHONY: bench-history
bench-history: ## Pages, lone kills and exports of a long history (KILLGATE_BENCH_KILLS, 10 million), on a throw-away Postgres
	KILLGATE_TEST_DURABLE=1 scripts/test-postgres.sh run -- $(CARGO) bench --bench history

.PHONY: check
check: fmt-check clippy doc openapi-check deploy-check test ## Everything a change must pass

.PHONY: fmt fmt-check clippy doc
fmt: ## Format the code
	$(CARGO) fmt

fmt-check:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps

.PHONY: openapi openapi-check lint-openapi test-clients test-schema
openapi: ## Rewrite openapi/ from the code
	@mkdir -p openapi
	$(CARGO) run --quiet -- openapi > openapi/killgate.json.new
	mv openapi/killgate.json.new openapi/killgate.json
	$(CARGO) run --quiet -- openapi --older > openapi/killgate-3.0.json.new
	mv openapi/killgate-3.0.json.new openapi/killgate-3.0.json

openapi-check:
	@{ $(CARGO) run --quiet -- openapi | diff -u openapi/killgate.json - \
		&& $(CARGO) run --quiet -- openapi --older | diff -u openapi/killgate-3.0.json -; } \
		|| { echo "openapi/ is not what the code says: run 'make openapi'" >&2; exit 1; }

lint-openapi: ## Lint openapi/ (needs Node.js 20.19 or later)
	REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true npx --yes $(REDOCLY) lint openapi/killgate.json openapi/killgate-3.0.json

test-clients: ## Generate clients from openapi/ and let them work with the demo (needs Node.js, Python and a JDK)
	$(CARGO) build
	scripts/test-clients.sh

test-schema: ## Hold the demo against openapi/ with schemathesis (needs Python)
	$(CARGO) build
	scripts/test-schema.sh

.PHONY: deploy-check dist
deploy-check: ## Check deploy/ with the tools that its parts are for
	$(CARGO) build
	scripts/check-deploy.sh

dist: ## A release in dist/: archive, .deb, list of parts, checksums
	scripts/dist.sh

.PHONY: deny
deny: ## Licences, bans and sources of the dependencies (needs cargo-deny)
	$(CARGO) deny check bans licenses sources
