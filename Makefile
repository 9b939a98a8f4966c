# Two commands do all on a fresh machine: `make run` and `make test`.
PYTHON ?= python3
# Which build of torch: `cpu` (where pip finds one, else PyPI's), or `pypi` (on Linux with CUDA).
TORCH ?= cpu
# More options of pytest: make test PYTEST="--durations=30".
PYTEST ?=
# Processes that run tests side by side: tests/helpers/in_parallel.py says what shares one.
JOBS ?= 2
BIN := .venv/bin
PARALLEL = -n $(JOBS) --no-loadscope-reorder
AUDIT := .venv-audit/bin
PIP := -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation
LOCKED := $(PIP) --require-hashes

.PHONY: run up down test test-all coverage lint format install install-dev lock audit sbom bench bench-levels bench-model clean

run: install
	@echo "headrace run: the whole chain, some 12 minutes the first time"
	@$(BIN)/headrace run --profile local

up: install
	@$(BIN)/headrace up

down: install
	@$(BIN)/headrace down

test: install-dev
	$(BIN)/python -m pytest -q $(PARALLEL) $(PYTEST)

test-all: install-dev
	HYPOTHESIS_PROFILE=search $(BIN)/python -m pytest -q $(PARALLEL) -m "not bench" $(PYTEST)

# Which lines the tests run in their own process; what they start as a command isn't counted. Fails below
# the floor in pyproject.toml.
coverage: install-dev
	$(BIN)/python -m pytest -q $(PARALLEL) --cov --cov-report=term:skip-covered --durations=30 $(PYTEST)

lint: install-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests --untyped-calls-exclude=torch --untyped-calls-exclude=transformers

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

# Each file is checked against the hash in its lock, and nothing is asked for beyond the locks: `pip check` at
# the end sees what they lack.
.venv/installed: pyproject.toml infra/locks/build.lock infra/locks/run.lock infra/locks/torch.lock infra/locks/torch-cpu.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if v == (3, 11) else \
	  "headrace needs Python 3.11, %s is %d.%d: make PYTHON=/path/to/python3.11" % (sys.executable, *v))'
	@test -x $(BIN)/pip || { echo "venv: .venv"; $(PYTHON) -m venv .venv; }
	@echo "install: packages of infra/locks, about two minutes the first time"
	@$(BIN)/python $(LOCKED) -r infra/locks/build.lock
	@$(BIN)/python $(LOCKED) -r infra/locks/run.lock & pid=$$!; \
	  while kill -0 $$pid 2>/dev/null; do sleep 10; kill -0 $$pid 2>/dev/null && echo "install: still working, $$(ls .venv/lib/python3.11/site-packages | wc -l) entries"; done & \
	  wait $$pid
	@{ { test "$(TORCH)" = cpu && $(BIN)/python $(LOCKED) -r infra/locks/torch-cpu.lock 2>/dev/null; } || \
	  { echo "install: torch as PyPI has it, on Linux with CUDA: some GB"; \
	    $(BIN)/python $(LOCKED) --progress-bar off -r infra/locks/torch.lock; }; } & pid=$$!; \
	  while kill -0 $$pid 2>/dev/null; do sleep 10; kill -0 $$pid 2>/dev/null && echo "install: still working"; done & \
	  wait $$pid
	@$(BIN)/python $(PIP) -q -e .
	@said=$$($(BIN)/pip check) || { echo "$$said"; exit 1; }
	@touch $@

.venv/installed-dev: .venv/installed infra/locks/dev.lock
	@echo "install: test dependencies"
	@$(BIN)/python $(LOCKED) -r infra/locks/dev.lock
	@said=$$($(BIN)/pip check) || { echo "$$said"; exit 1; }
	@touch $@

# The tools that look at the supply chain are kept apart from what they look at.
.venv-audit/installed: infra/locks/build.lock infra/locks/audit.lock
	@test -x $(AUDIT)/pip || { echo "venv: .venv-audit"; $(PYTHON) -m venv .venv-audit; }
	@$(AUDIT)/python $(LOCKED) -r infra/locks/build.lock
	@$(AUDIT)/python $(LOCKED) -r infra/locks/audit.lock
	@touch $@

# PyPI's advisories are looked up over the network; without them (`--strict`) it fails rather than finds nothing.
audit: .venv-audit/installed
	@said=$$($(AUDIT)/bandit -q -c pyproject.toml -r flows tasks spark_jobs training expectations infra 2>&1) || { echo "$$said"; exit 1; }
	@echo "bandit: nothing found but the exceptions in pyproject.toml and on the lines"
	@$(AUDIT)/pip-audit --strict --disable-pip $$(printf -- '-r infra/locks/%s.lock ' build torch run dev audit) \
	  $$(sed -nE 's/^([A-Z]+-[[:alnum:]-]+) .*/--ignore-vuln \1/p' infra/locks/accepted-advisories.txt) || \
	  { echo "pip-audit: failed. If it says 'not found on PyPI', what answers as PyPI has no advisories (/pypi/NAME/VERSION/json)"; exit 1; }

# What is installed, as CycloneDX 1.6, checked against its schema.
sbom: install .venv-audit/installed
	@mkdir -p build
	@$(AUDIT)/cyclonedx-py environment --pyproject pyproject.toml --spec-version 1.6 --output-format JSON \
	  --output-reproducible --validate --output-file build/sbom.cdx.json .venv/bin/python
	@echo "build/sbom.cdx.json"

lock: .venv-audit/installed install-dev
	infra/locks/compile $(AUDIT)/uv
	$(BIN)/python -m pytest -q tests/infra/test_locks.py

clean:
	rm -rf .venv .venv-audit .headrace build *.egg-info
