# mingshi. `make help` lists what can be made.

SHELL := bash
.DEFAULT_GOAL := help
# What scripts/setup.sh installs comes first, so that its choices hold.
export PATH := $(CURDIR)/.tools/bin:$(HOME)/.cargo/bin:$(PATH)

.PHONY: help
help: ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# Nothing here can be made before what it needs is installed.
.NOTPARALLEL:

.PHONY: build
build: setup web ## the programs, into target/release
	@[ -e target/release/mingshi ] || echo '第一次编译需要几分钟到半小时，请稍候 The first build takes some minutes, half an hour on a small machine'
	@cargo build --release --locked --workspace --bin mingshi --bin mingshi-media

.PHONY: run
run: build ## put the demonstration lesson on air (ARGS are passed on, see: make run ARGS=--help)
	@exec ./target/release/mingshi demo $(ARGS)

.PHONY: test
test: setup-test ## everything: format, lints, licences, unit, simulation, interop and browser tests
	@scripts/test.sh all

.PHONY: check
check: setup ## the quick part of test: format, lints, unit and simulation tests
	@scripts/test.sh quick

.PHONY: bench
bench: setup web ## the benchmarks of the forwarding path, into bench/results
	@bench/run.sh

.PHONY: linklab
linklab: setup-test build tests/e2e/node_modules/.package-lock.json ## lessons on weak lines, into bench/results (ARGS="4M-3 steps" selects; half an hour, needs root)
	@MINGSHI_BINARY=$(CURDIR)/target/release/mingshi node bench/linklab/linklab.mjs $(ARGS)

.PHONY: clean
clean: ## remove what was built; what was installed into .tools stays
	rm -rf target web-client/dist web-client/node_modules tests/e2e/node_modules tests/e2e/output tests/interop/clients/node_modules

.PHONY: setup setup-test
setup:
	@scripts/setup.sh run
setup-test:
	@scripts/setup.sh test

# The web client. npm writes .package-lock.json last, so that it dates the whole of node_modules.
WEB_SOURCES := $(shell find web-client -name node_modules -prune -o -name dist -prune -o -type f -print)

.PHONY: web
web: web-client/dist/index.html ## the web client, into web-client/dist

web-client/dist/index.html: web-client/node_modules/.package-lock.json $(WEB_SOURCES)
	@cd web-client && npm run --silent build -- --logLevel warn
	@touch $@ src/api/web.rs # which embeds these files by a macro, unseen by cargo

%/node_modules/.package-lock.json: %/package-lock.json
	@cd $* && npm ci --loglevel error --no-audit --no-fund
	@touch $@
