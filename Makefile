# make demo   from a fresh clone to a validated model and its report
# make test   the tests that a change must pass
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all lint check bench clean

VENV := .venv
BIN := $(VENV)/bin
CORE := $(VENV)/.core
DEV := $(VENV)/.dev
BUDGET ?= 4m
DEMO ?= demo

# The first Python that will do; PYTHON=... overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' && echo $$p && break; done)

# One thread of torch for each test worker: the workers share the processors.
PYTEST := env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 $(BIN)/pytest

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile
	@echo "also: setup, test-all, lint, check, bench, clean"

setup: $(DEV)

$(CORE): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Calque needs Python 3.11 or later; none was found"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "setup, once: torch (the largest part, a minute or two) ..."
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt torch
	@echo "setup: Calque ..."
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e .
	@touch $@

# What only tests and checks need stays out of the way of the demonstration.
$(DEV): $(CORE)
	@echo "setup: tools and oracles of the tests ..."
	$(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(CORE)
	$(BIN)/calque demo -o $(DEMO) --budget $(BUDGET)

test: setup
	$(PYTEST) -n auto -m "not slow"

test-all: setup
	$(PYTEST) -n auto

lint: setup
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint test

bench: setup
	$(BIN)/python benchmarks/harness.py

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
