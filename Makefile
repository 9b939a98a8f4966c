# Two commands do all on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install -q --disable-pip-version-check -c infra/constraints.txt

.PHONY: run up down test test-all lint format install install-dev bench bench-levels bench-model clean

run: install
	@echo "headrace run: the whole chain, some 12 minutes the first time"
	@$(BIN)/headrace run --profile local

up: install
	@$(BIN)/headrace up

down: install
	@$(BIN)/headrace down

test: install-dev
	$(BIN)/python -m pytest -q

test-all: install-dev
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -q -m "not bench"

lint: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: install-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install-dev
	$(BIN)/python -m pytest -q -s -m bench tests/benchmarks

bench-levels: install-dev
	$(BIN)/python -m pytest -q -s -m bench tests/benchmarks -k "level or l1 or l2 or l3 or l4 or l5"

bench-model: install-dev
	$(BIN)/python -m pytest -q -s -m bench tests/benchmarks/test_model.py

install: .venv/installed

install-dev: .venv/installed-dev

# torch first: pip then finds the CPU build that the pin names and looks for no other.
.venv/installed: pyproject.toml infra/constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else \
	  "headrace needs Python 3.11, %s is %d.%d: make PYTHON=/path/to/python3.11" % (sys.executable, *v))'
	@test -x $(BIN)/pip || { echo "venv: .venv"; $(PYTHON) -m venv .venv; }
	@echo "install: packages of infra/constraints.txt, about two minutes the first time"
	@$(PIP) --upgrade pip
	@$(PIP) --progress-bar off torch & pid=$$!; \
	  while kill -0 $$pid 2>/dev/null; do sleep 10; echo "install: still working"; done & \
	  wait $$pid
	@$(PIP) -e . & pid=$$!; \
	  while kill -0 $$pid 2>/dev/null; do sleep 10; kill -0 $$pid 2>/dev/null && echo "install: still working, $$(ls .venv/lib/python3.11/site-packages | wc -l) entries"; done & \
	  wait $$pid
	@touch $@

.venv/installed-dev: .venv/installed
	@echo "install: test dependencies"
	@$(PIP) -e '.[dev]'
	@touch $@

clean:
	rm -rf .venv .headrace build *.egg-info
