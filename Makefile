# `make` prints what there is to do. Needed beforehand: Python 3.11 or later, and make.

PYTHON ?= python3
JOBS ?= auto
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/complete
PEERS := build/peers
PACKAGES := contracts shared deploy/gov $(wildcard services/*)
SOURCES := contracts/src shared/src deploy/gov/src $(wildcard services/*/src)
TIERS := tests/unit tests/contract tests/integration tests/e2e
SERVICES := $(notdir $(wildcard services/*))
comma := ,
space := $(subst ,, )
# pip's own setting of this name, wherever it was made: uv doesn't read pip's, and would look elsewhere for packages.
pip_setting = $$($(BIN)/python -m pip config list | sed -n "s/^[^=]*\.$(1)='\(.*\)'$$/\1/p" | tail -n 1)
uv_settings = \
	UV_DEFAULT_INDEX="$${UV_DEFAULT_INDEX:-$(call pip_setting,index-url)}"; \
	[ -z "$$UV_DEFAULT_INDEX" ] || export UV_DEFAULT_INDEX; \
	SSL_CERT_FILE="$${SSL_CERT_FILE:-$(call pip_setting,cert)}"; \
	[ -z "$$SSL_CERT_FILE" ] || export SSL_CERT_FILE;

# What is imported once is kept compiled: a start of five services would compile the same modules five times.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install demo clean-demo test lint types imports unit contract integration e2e simulate faults mutants bench format schemas lock clean

help: ## Print this
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## Make the virtual environment, from the lock and nothing else

demo: $(STAMP) ## Start everything and play a portfolio in; Ctrl-C stops it
	@$(BIN)/gov demo

clean-demo: $(STAMP) ## Forget the demo's data
	@$(BIN)/gov down --forget

test: $(STAMP) ## Everything that must hold before a change is merged
	@$(MAKE) --no-print-directory lint types imports
	@$(BIN)/python -m govevents check
	@$(BIN)/pytest -n $(JOBS) $(wildcard $(TIERS))
	@$(BIN)/pytest tests/faults

lint: $(STAMP) ## Style and likely mistakes (ruff)
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .

types: $(STAMP) ## Types (mypy, strict)
	@$(BIN)/mypy $(SOURCES) tests

imports: $(STAMP) ## Who may import whom (import-linter)
	@$(BIN)/lint-imports

unit: $(STAMP) ## Deciders, folds, formulas and house rules; no infrastructure
	@$(BIN)/pytest tests/unit

contract: $(STAMP) ## Schemas, golden samples and their compatibility; no infrastructure
	@$(BIN)/python -m govevents check
	@$(BIN)/pytest tests/contract

integration: $(STAMP) ## Store, relay, consumers and APIs on a real PostgreSQL and a real Kafka
	@$(BIN)/pytest -n $(JOBS) tests/integration

e2e: $(STAMP) ## Several services at once
	@$(BIN)/pytest tests/e2e

mutants: $(STAMP) ## Change approvals' deciders in small ways, and see what its tests notice: MUTANTS, MUTANT_SEED, MUTANT_MODULE
	@$(BIN)/python -m tests.mutation

bench: $(STAMP) $(PEERS)/complete ## What it costs beside what its parts can do; ROWS="append-*" chooses, OPTIONS="--quick" and others
	@set -f; $(BIN)/python -m tests.benchmarks $(ROWS) $(OPTIONS)

simulate: $(STAMP) ## Play seeds of the kernel over databases and Kafka in memory: SIM_SEEDS, SIM_SEED, SIM_BUGS=all
	@$(BIN)/python -m tests.simulation

faults: $(STAMP) ## Break real processes by a seed, heal them, judge what is left; FAULT_SECONDS, FAULT_SEED, FAULT_BUGS=all
	@$(BIN)/python -m tests.faults

format: $(STAMP) ## Put the source into the house's form
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

schemas: $(STAMP) ## Write what is published of new events: schemas, samples, asyncapi.yaml, openapi
	@$(BIN)/python -m govevents generate
	@mkdir -p contracts/openapi
	@for service in $(SERVICES); do \
	  if [ -e services/$$service/src/$$service/__main__.py ]; then \
	    $(BIN)/python -m $$service openapi > contracts/openapi/$$service.json || exit 1; \
	  fi; \
	done

lock: $(STAMP) ## Resolve the dependencies anew, to the newest that fit, into requirements.lock
	@$(uv_settings) \
	 $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	   --python-version 3.11 --group dev $(foreach name,kernel events,--no-emit-package gov-$(name)) \
	   --output-file requirements.lock pyproject.toml $(addsuffix /pyproject.toml,$(PACKAGES)) > /dev/null && \
	 $(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-emit-index-url --no-header --no-annotate \
	   --python-version 3.11 --output-file tests/benchmarks/requirements.lock tests/benchmarks/requirements.in > /dev/null

clean: ## Remove the virtual environment and every cache
	@rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# What benchmarks are compared with is no part of Gatehouse, so it has an environment of its own.
$(PEERS)/complete: tests/benchmarks/requirements.lock $(STAMP)
	@$(BIN)/python -m venv --without-pip --clear $(PEERS)
	@$(uv_settings) \
	 $(BIN)/uv pip install --quiet --python $(PEERS)/bin/python --require-hashes --requirement $<
	@touch $@

$(STAMP): requirements.lock $(addsuffix /pyproject.toml,$(PACKAGES))
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) was not found: install Python 3.11 or later, or give it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "$(PYTHON) is $$($(PYTHON) --version): Python 3.11 or later is needed; give another one: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { echo "$(PYTHON) comes without venv and ensurepip: install them (on Debian and Ubuntu the package python3-venv), or give another Python: make PYTHON=python3.11" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/ {wanted = 1} wanted {print} wanted && !/\\$$/ {exit}' requirements.lock > $(VENV)/uv.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes --requirement $(VENV)/uv.lock
	@$(uv_settings) \
	 VIRTUAL_ENV="$(CURDIR)/$(VENV)"; export VIRTUAL_ENV; \
	 $(BIN)/uv pip install --quiet --require-hashes --requirement requirements.lock && \
	 $(BIN)/uv pip install --quiet --no-deps --no-build-isolation $(foreach package,$(PACKAGES),--editable $(package))
	@$(BIN)/python -P -c 'import alembic.command, gov.cli.app, gov.demo.play, $(subst $(space),$(comma),$(SERVICES:%=%.entrypoints.processes))'
	@touch $@
