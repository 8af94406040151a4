# A fresh machine needs Python 3.11 (or 3.12, 3.13: make PYTHON=python3.12) and make. `make` alone lists the targets.

PYTHON ?= python3.11
ARGS ?=
BIN := .venv/bin
STAMP := .venv/.installed
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2> /dev/null)
LOCK := $(if $(filter 3.11,$(VERSION)),requirements.lock,.ci/requirements-$(or $(VERSION),none).lock)
# k-diffusion needs numpy 1.26, which has no wheel for Python 3.13.
PLUGINS := $(filter-out $(if $(filter 3.13,$(VERSION)),plugins/kdiffusion),$(patsubst %/pyproject.toml,%,$(wildcard plugins/*/pyproject.toml)))

# Without stored bytecode every process of the tests would compile torch anew, 5 seconds each; some machines forbid it.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test thorough quick check lint types layers docs gpu faults format lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Create .venv and install everything at the locked versions

demo: $(STAMP) ## Train on noisy data only, sample, and compare with the clean distribution
	$(BIN)/python examples/demo.py $(ARGS)

test: $(STAMP) ## Run the tests, those of the plug-ins and examples too (ARGS="-k word" for some)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal -m "not thorough" $(ARGS)

thorough: $(STAMP) ## Run all tests: `make test` takes a share of the longest tables, and one form of each long test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(ARGS)

quick: $(STAMP) ## Run the tests that take no more than a few seconds each: under three minutes on two cores
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal -m "not slow and not thorough" $(ARGS)

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

lock: ## Resolve requirements.in into a lock for each Python; pins that still fit stay (ARGS=--upgrade renews them)
	tools=$$(mktemp -d) && trap 'rm -rf "$$tools"' EXIT && $(PYTHON) -m venv "$$tools" && "$$tools/bin/pip" install -q uv && \
	for version in 3.11 3.12 3.13; do \
	  lock=.ci/requirements-$$version.lock; plugins="plugins/diffusers plugins/kdiffusion"; \
	  if [ $$version = 3.11 ]; then lock=requirements.lock; elif [ $$version = 3.13 ]; then plugins=plugins/diffusers; fi; \
	  printf -- '-e ./%s\n' $$plugins | "$$tools/bin/uv" pip compile -q --python-version $$version --no-annotate \
	    --custom-compile-command "make lock" $(ARGS) requirements.in - -o $$lock && sed -i.old '/^-e /d' $$lock && rm $$lock.old || exit 1; \
	done

clean: ## Remove caches and built documentation (.venv stays)
	rm -rf docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find ambientkit plugins tests examples docs -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp is older than what it was made from only where something has to be installed again.
$(STAMP): $(LOCK) pyproject.toml $(addsuffix /pyproject.toml,$(PLUGINS))
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not on this machine: install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	$(BIN)/pip install --no-compile -r $(LOCK)
	$(BIN)/pip install --no-deps --no-build-isolation -e . $(addprefix -e ./,$(PLUGINS))
	touch $@

# Where there is no lock for this Python, or no such program.
.ci/requirements-%.lock:
	@command -v $(PYTHON) > /dev/null || { echo "$(PYTHON) is not on this machine: install Python 3.11, or name it: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "there is no lock for $(PYTHON), which is $(VERSION): give a Python 3.11, 3.12 or 3.13, make PYTHON=..."; exit 1
