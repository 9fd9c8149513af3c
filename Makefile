# What a newcomer runs. `make` alone lists the targets.
#
#   PYTHON=python3.12   interpreter to build the environment with (3.11 or newer)
#   VENV=.venv          where the environment goes
#   OUT=runs/demo       where the demo writes
#   JOBS=2              test processes

SHELL := /bin/sh
VENV ?= .venv
OUT ?= runs/demo
JOBS ?= 2
BIN := $(VENV)/bin
NEW_ENOUGH := import sys; raise SystemExit(sys.version_info < (3, 11))

ifndef PYTHON
PYTHON := $(shell for name in python3 python3.13 python3.12 python3.11 python; do \
	$$name -c '$(NEW_ENOUGH)' >/dev/null 2>&1 && echo $$name && break; done)
endif

# No library looks for news on the network.
export NO_ALBUMENTATIONS_UPDATE := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.ready ## render scenes, train two small members, decide, report (8 minutes on 2 cores, install included)
	@$(BIN)/maskwright demo --out $(OUT)

test: $(VENV)/.ready-dev ## every test, the slow end-to-end ones included
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: $(VENV)/.ready-dev ## format, lint, types, import rules, generated pages
	$(BIN)/ruff format --check src tests tools bench
	$(BIN)/ruff check src tests tools bench
	$(BIN)/python -m mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/tree.py --check
	$(BIN)/python tools/reference.py --check

bench: $(VENV)/.ready-dev ## the rows of the performance table, as ratios measured in one run
	@$(BIN)/python -m bench

docs: $(VENV)/.ready-dev ## write the generated pages anew: README's tree, docs/reference
	@$(BIN)/python tools/tree.py
	@$(BIN)/python tools/reference.py

clean: ## remove the environment and all caches; runs/ stays
	@if [ -e $(VENV)/.ready ]; then rm -rf $(VENV); fi
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Stamps: made anew when the project's dependencies change.
$(VENV)/.ready: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing maskwright into $(VENV): about 2 minutes and 6 GB, once."
	@$(BIN)/pip install -q -c constraints.txt -e .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(BIN)/pip
	@echo "Installing maskwright and the gate's tools into $(VENV): about 2 minutes and 6 GB, once."
	@$(BIN)/pip install -q -c constraints.txt -e '.[dev]'
	@touch $(VENV)/.ready $@

$(BIN)/pip:
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or newer found; install one, or give make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "error: $(PYTHON) is no Python 3.11 or newer; give make PYTHON=/path/to/python" >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV)
