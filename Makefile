# A fresh machine needs Python 3.11 and make. `make` alone lists the targets.

PYTHON ?= python3.11
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
PLUGINS := $(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml))

.DEFAULT_GOAL := help
.PHONY: help setup demo test quick check lint types layers docs gpu faults format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything at the locked versions

demo: $(STAMP) ## Train on noisy data only, sample, and compare with the clean distribution
	$(BIN)/python examples/demo.py $(ARGS)

test: $(STAMP) ## Run all tests, those of the plug-ins and examples too (ARGS="-k word" for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

quick: $(STAMP) ## Run the tests that take no more than a few seconds each: under three minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" $(ARGS)

check: lint types layers test docs ## Everything a change must pass

gpu: $(STAMP) ## What only a GPU can show: precisions, step ratios, NCCL, samples per second (one card, ten minutes)
	$(BIN)/python examples/benchmarks/gpu.py $(ARGS)

faults: $(STAMP) ## Kill a run a hundred times, half of them inside a save, and compare the bits (minutes)
	OMP_NUM_THREADS=1 $(BIN)/python tests/faults/kill_test.py $(ARGS)

lint: $(STAMP) ## Ruff: rules and formatting
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP) ## Mypy
	$(BIN)/mypy

layers: $(STAMP) ## Import-linter: which module may import which
	$(BIN)/lint-imports

docs: $(STAMP) ## Build the documentation into docs/_build/html; warnings are errors
	$(BIN)/sphinx-build -q -W --keep-going docs docs/_build/html

format: $(STAMP) ## Let ruff repair and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## Resolve requirements.in into requirements.lock; pins that still fit stay (ARGS=--upgrade renews them)
	tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install -q uv && \
	printf -- '-e ./%s\n' $(PLUGINS) | "$$tools/bin/uv" pip compile -q --python-version 3.11 --no-annotate \
	  --custom-compile-command "make lock" $(ARGS) requirements.in - -o requirements.lock && sed -i.old '/^-e /d' requirements.lock && rm requirements.lock.old

clean: ## Remove caches and built documentation (.venv stays)
	rm -rf docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find ambientkit plugins tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than what it was made from only where something has to be installed again.
$(STAMP): requirements.lock pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not on this machine: install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(v != (3, 11) and f"the locked versions are for Python 3.11, but $(PYTHON) is {v[0]}.{v[1]}: give make PYTHON=...")'
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --no-compile -r requirements.lock
	$(BIN)/pip install --no-deps --no-build-isolation -e . $(addprefix -e ./,$(PLUGINS))
	touch $@
