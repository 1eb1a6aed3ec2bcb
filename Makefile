# What can be made: `make help`. Needs Python 3.11 or newer and make; all else goes into $(VENV).

PORT ?= 8000
VENV = .venv
ARGS =
JOBS = 3

# The first of these that is new enough; `make PYTHON=/path/to/python3.12 ...` says otherwise.
PYTHON = $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; done)
PYTHON := $(PYTHON)
VERSION := $(shell $(or $(PYTHON),false) -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)

BIN = $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
# Each is touched when its step is done.
MADE = $(VENV)/.python-$(VERSION)
SERVICE = $(VENV)/.service
DEV = $(VENV)/.dev
PACKAGE = setup.cfg pyproject.toml constraints.txt
CONSOLE = handlers/console_dist/index.html
CONSOLE_SOURCES = $(shell find web/console web/client/src web/package-lock.json -type f ! -path '*/node_modules/*')

.DEFAULT_GOAL = help
.NOTPARALLEL:
.PHONY: help run test check check-format lint types client-types layers wheel format web-build web-check web-test console bench soak constraints clean

help:  ## list what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PYTHON=$(PYTHON)  PORT=$(PORT)  VENV=$(VENV)  JOBS=$(JOBS)  ARGS=... for pytest and bench"

run: $(SERVICE)  ## start the service in demo mode on 127.0.0.1:8000, with its console; PORT=
	@$(MAKE) --silent console || echo "The console could not be built; the service starts without." >&2
	@exec env SSE_PUSH_AUTH_MODE=demo SSE_PUSH_HOST=127.0.0.1 SSE_PUSH_PORT=$(PORT) BIN=$(BIN) scripts/run-demo

test: $(DEV) web-test  ## run all tests; ARGS="-k redirect" for some
	@scripts/provide-chromium
	@scripts/provide-nginx
	@# Some of a test is waiting, so two cores have work for three; to gather the tests costs each of them 5 s. Worksteal
	@# evens out the slow files. JOBS=0: one by one.
	$(BIN)/python -m pytest -rs --numprocesses $(JOBS) --dist worksteal $(ARGS)

check: check-format lint types layers web-check wheel test  ## all that CI runs

check-format: $(DEV)  ## is everything formatted?
	$(BIN)/ruff format --check

lint: $(DEV)  ## likely faults (ruff)
	$(BIN)/ruff check

types: $(DEV)  ## types (mypy, strict), and whether the web client's are those of the models
	$(BIN)/mypy
	$(BIN)/python scripts/client_types.py --check

client-types: $(DEV)  ## write the web client's types from the service's models
	$(BIN)/python scripts/client_types.py

layers: $(DEV)  ## who may import whom (import-linter)
	@# Its cache would lie beside the sources, and it reads them in a second.
	$(BIN)/lint-imports --config setup.cfg --no-cache --no-logo

wheel: $(DEV) console  ## build the wheel, install it somewhere else, start it there
	$(BIN)/python scripts/check_wheel.py

format: $(DEV)  ## format everything, mend what can be mended
	$(BIN)/ruff check --fix-only --exit-zero --quiet
	$(BIN)/ruff format
	scripts/with-node "FORMATTING THE WEB CLIENT" npm run --silent format

console: $(CONSOLE)  ## build the console that the service has at /

web-build:  ## build the web client and the console; tells their sizes
	@scripts/with-node "BUILDING THE WEB CLIENT" npm run --silent build

web-check: web-build  ## form and types of the web client (biome, tsc)
	@scripts/with-node "CHECKING THE WEB CLIENT" npm run --silent check

web-test: web-build  ## the web client's own tests (vitest); those in a browser are pytest's
	@scripts/with-node "THE WEB CLIENT'S TESTS" npm run --silent test

bench: $(SERVICE)  ## measure the service beside others; ARGS for its options
	$(INSTALL) --requirement bench/requirements.txt
	$(BIN)/python -m bench $(ARGS)

soak: $(DEV)  ## real nodes under random faults for some minutes; ARGS="--hours 8" for longer, ARGS=--help for more
	@$(BIN)/python -m tests.soak $(ARGS)

constraints: $(DEV)  ## pin the newest versions that setup.cfg allows
	$(BIN)/python -m pip install --quiet --upgrade --upgrade-strategy eager --editable '.[dev]' --requirement bench/requirements.txt
	@# Lines with a marker, for one Python or another, stay as they are: this Python knows its own alone.
	{ grep '^#' constraints.txt; { $(BIN)/python -m pip freeze --exclude-editable | grep -v '^pyee=='; grep '^[^#].*;' constraints.txt; } | sort -f; } > constraints.new
	mv constraints.new constraints.txt

clean:  ## remove what make has made; the service's data stays
	rm -rf web/node_modules web/*/node_modules web/*/dist web/*/dist-examples* handlers/console_dist
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache sse_push.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Without Node it stays as it is, most often missing, and the next make tries again.
$(CONSOLE): $(CONSOLE_SOURCES)
	@scripts/with-node "BUILDING THE CONSOLE" npm run --silent build --workspace sse-push-console

$(MADE):
	@test -n "$(PYTHON)" || { echo "sse-push needs Python 3.11 or newer, and none is here. If there is one: make PYTHON=/path/to/it" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sse-push needs Python 3.11 or newer; $(PYTHON) is $(VERSION)" >&2; exit 1; }
	@echo "Making an environment in $(VENV); this takes a minute or two, the first time only."
	@$(PYTHON) -m venv --clear $(VENV) || { echo "$(PYTHON) has no venv; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@touch $@

$(SERVICE): $(MADE) $(PACKAGE)
	@echo "Installing the service and its packages into $(VENV)."
	@$(INSTALL) --editable .
	@touch $@

$(DEV): $(MADE) $(PACKAGE)
	@echo "Installing the service, its packages and the tools of its tests into $(VENV)."
	@$(INSTALL) --editable '.[dev]'
	@touch $@ $(SERVICE)
