# Millrace: every recipe works on a fresh machine with Python 3.11+, make and curl.
SHELL := /bin/sh
.DEFAULT_GOAL := help

# A uv of the machine, else one in the project's own folder.
# By its name alone, since make takes a path with blanks for several files.
UV := $(if $(shell command -v uv 2>/dev/null),uv,.tools/bin/uv)
UV_FILE := $(filter-out uv,$(UV))
export UV_PYTHON_PREFERENCE ?= managed
RUN := $(UV) run --no-sync
PYTEST := $(RUN) python -m pytest
# What fails is run once more, alone, after all others: see tests/flaky.py.
FLAKY := $(RUN) python -m tests.flaky

# Python 3.11 does not start in such a locale where its path has letters beyond ASCII.
ifneq ($(filter C POSIX,$(LC_ALL)),)
export LC_ALL := C.UTF-8
endif

# Compiled once: where it is set, each of a run's many processes compiles all that it imports anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help writable setup packages demo up down status env test test-fast quick most test-chaos chaos-short \
	test-security test-api-description test-browser lint locked audit format reference docs docs-serve \
	bench clean

help: ## Say what each target does
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

# Before anything is fetched: the folder of the project is where all of it goes.
writable:
	@for folder in . .tools .venv .millrace; do \
		[ ! -e $$folder ] || [ -w $$folder ] || { \
			echo "$$PWD can't be written by $$(id -un): use a checkout of your own, in a folder that you may write." >&2; \
			exit 1; }; \
	done

.tools/bin/uv: | writable
	@sh tools/get-uv.sh

setup: writable $(UV_FILE) ## Get uv if it is missing, and all that uv.lock names
	@$(UV) sync --locked --quiet --all-extras --all-groups || \
		{ echo "uv could not install what uv.lock names: see the lines above." >&2; exit 1; }

packages:
	@sh tools/debian-packages.sh rabbitmq-server

demo: setup packages ## Stream real data through all of it and stay up; CHECK=1 checks it and stops
	@$(RUN) python manage.py demo $(if $(CHECK),--check)

up: setup packages ## Start everything, without any data, for your own
	@$(RUN) python -m millrace.embedded up

down: ## Stop what `make up` or `make demo` has left running
	@$(RUN) python -m millrace.embedded down

status: ## Say what runs, and where
	@$(RUN) python -m millrace.embedded status

env: ## Print where it answers, for a shell: eval "$$(make -s env)"
	@$(RUN) python -m millrace.embedded env

test: setup ## Run linters and every test, the chaos suite in its short form
	@sh tools/debian-packages.sh rabbitmq-server chromium
	@$(FLAKY) forget
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j2 most chaos-short
	@$(FLAKY) judge

test-fast: setup ## Run the quick core of the tests
	@$(FLAKY) forget
	@$(MAKE) --no-print-directory quick
	@$(FLAKY) judge

# Processes that share the services of a run; more of them than cores, since tests wait, too.
WORKERS := 4

quick:
	@$(FLAKY) run quick -q -n $(WORKERS) --durations=20 \
		-m "not slow and not chaos and not security and not browser"

# All tests but those of chaos-short, and the long ones.
most:
	@$(FLAKY) run most -q -n $(WORKERS) --durations=20 -m "not chaos or slow"

# Faults of the storm; CHAOS_SEED repeats one, CHAOS_KINDS="kafka killed,worker paused" narrows it.
CHAOS_FAULTS ?= 200
# For so long ClickHouse is down in the case of that name.
CHAOS_OUTAGE_SECONDS ?= 600

test-chaos: setup packages ## Kill, pause, cut and fill whatever there is, and count every row
	CHAOS_FAULTS=$(CHAOS_FAULTS) CHAOS_OUTAGE_SECONDS=$(CHAOS_OUTAGE_SECONDS) $(PYTEST) -q -s -m chaos

# Beside all others: what waits for a broker leaves the processors to them, and a busy machine is
# one more thing that must lose and double nothing.
chaos-short:
	@CHAOS_SHORT=1 $(FLAKY) run chaos -q -s -m "chaos and not long and not slow"

test-security: setup ## Attack the walls between tenants
	$(PYTEST) -q -n 2 -m "security and not browser"

test-api-description: setup ## Have schemathesis hold every answer against the OpenAPI description
	$(PYTEST) -q -s tests/security/test_api_description.py

# SCREENSHOTS=1 leaves pictures of the pages in tests/screenshots.
test-browser: setup ## Drive the admin in Chromium
	@sh tools/debian-packages.sh rabbitmq-server chromium
	$(PYTEST) -q -m browser

lint: setup ## Check form, types and the direction of imports
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .
	@$(RUN) python -W ignore -m mypy
	@$(RUN) lint-imports
	@$(MAKE) --no-print-directory locked audit

audit: $(UV_FILE) ## Look for known vulnerabilities in what uv.lock names
	@sh tools/audit.sh "$(UV)"

locked: $(UV_FILE) ## Check that uv.lock is what pyproject.toml asks for
	@$(UV) lock --check --quiet

format: setup ## Bring all code into form
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

reference: setup ## Write the pages of docs/reference that follow from code
	@$(RUN) python -W ignore -m tools.reference

docs: setup ## Build the documentation's site into build/docs
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs build --strict --quiet
	@echo "The site is in build/docs: open build/docs/index.html."

docs-serve: setup ## Show the documentation while it is written
	@NO_MKDOCS_2_WARNING=1 $(RUN) mkdocs serve

bench: setup ## Compare with the raw engine and with what one would write by hand
	@$(RUN) python -m bench

clean: ## Stop everything and remove every trace: data, environment, caches
	@if [ -x .venv/bin/python ]; then .venv/bin/python -m millrace.embedded down >/dev/null || true; fi
	@rm -rf .millrace .venv .tools .mypy_cache .ruff_cache .pytest_cache .import_linter_cache \
		.hypothesis build dist tests/screenshots
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@find . -maxdepth 2 -name '*.egg-info' -type d -prune -exec rm -rf {} +
