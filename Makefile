# From a clone to a trained model: `make demo`. All of it stays inside this folder; `make help` lists the rest.
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help demo test check bench test-slow soak docs course recipe recipes-stale build format clean

PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_INSTALL := install --quiet --disable-pip-version-check --constraint constraints.txt
PIP := $(PY) -m pip $(PIP_INSTALL)
PEERS := $(VENV)/peers
PEERS_PIP := $(PY) -m pip --python $(PEERS)/bin/python $(PIP_INSTALL)
TORCH = $(shell sed -n 's/.*"\(torch==[^"]*\)".*/\1/p' pyproject.toml)
BUILT := $(VENV)/.built
CORE_SOURCES := $(shell find csrc -type f)
CXX_FILES := $(shell find csrc -name '*.h' -o -name '*.cc')

# A worker for each core (decision 30). torch has one thread: threads that wait for each other's cores save nothing.
PYTEST := OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder
# What may depend on the instruction set: the equations in torch, its compiler and regular expressions do not.
TESTS_OF_THE_CORE := tests/kernels tests/nn tests/runtime \
  $(addprefix --ignore tests/,kernels/test_isa.py nn/test_spec.py nn/test_library.py runtime/test_regex.py)

RECIPE = recipes/$(subst -,_,$(NAME)).py
RECIPES = $(subst _,-,$(basename $(notdir $(filter-out recipes/stale.py,$(wildcard recipes/[!_]*.py)))))

export MPLCONFIGDIR ?= $(CURDIR)/$(VENV)/cache/matplotlib
export RNNKIT_CACHE ?= $(CURDIR)/$(VENV)/cache/rnnkit
export PYRIGHT_PYTHON_CACHE_DIR ?= $(CURDIR)/$(VENV)/cache/pyright
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1
export NO_MKDOCS_2_WARNING := 1

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 15

demo: $(BUILT)  ## train on the embedded text, print the table and a sample
	$(VENV)/bin/rnnkit train lm --run runs/demo --force

test: $(BUILT) $(VENV)/.group-test  ## the tests, about 8 minutes on two cores
	$(PYTEST)

test-slow: $(BUILT) $(VENV)/.group-test  ## what `make test` cannot hold, about half an hour on two cores
	$(PYTEST) -m slow --timeout 1800 --dist loadgroup
	best=$$($(PY) -c 'from rnnkit import kernels; print(kernels.isa())') || exit 1; \
	for isa in portable avx2 avx512 avx512bf16; do \
	  test $$isa != $$best || { echo "test-slow: make test ran $$isa"; continue; }; \
	  why=$$(RNNKIT_ISA=$$isa $(PY) -c 'import rnnkit.kernels' 2>&1) || case "$$why" in \
	    *"RNNKIT_ISA is"*) echo "test-slow: this machine has no $$isa"; continue;; \
	    *) echo "$$why"; exit 1;; \
	  esac; \
	  RNNKIT_ISA=$$isa $(PYTEST) $(TESTS_OF_THE_CORE) || exit 1; \
	done

soak: $(BUILT) $(VENV)/.group-test  ## loops of hours; RNNKIT_SOAK_S=30 make soak tries them
	$(PY) -m pytest -m soak --timeout 0

check: $(BUILT) $(VENV)/.group-check $(VENV)/.group-test  ## lint, format, types, import contracts, C++ format
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/clang-format --dry-run --Werror $(CXX_FILES)
	$(VENV)/bin/lint-imports --no-cache
	$(VENV)/bin/pyright

format: $(VENV)/.group-check  ## rewrite Python and C++ in the house's format
	$(VENV)/bin/ruff check --fix-only .
	$(VENV)/bin/ruff format .
	$(VENV)/bin/clang-format -i $(CXX_FILES)

bench: $(BUILT) $(PEERS)/.installed  ## every benchmark, beside its peers; about 25 minutes
	$(PY) benchmarks/bench_startup.py
	$(PY) benchmarks/bench.py --out runs/bench

docs: $(BUILT) $(VENV)/.group-docs  ## guides and API reference as a static site in site/
	$(VENV)/bin/mkdocs build --strict --quiet

course: $(BUILT) $(VENV)/.group-course  ## the notebooks of docs/course, run; copies with pictures in runs/course
	@mkdir -p runs/course
	@for notebook in docs/course/*.ipynb; do \
	  echo "course: $$notebook"; \
	  $(VENV)/bin/jupyter-execute --output "$(CURDIR)/runs/course/$$(basename $$notebook)" $$notebook || exit 1; \
	done

recipe: $(BUILT)  ## one published result again: make recipe NAME=shakespeare-char
	@test -n "$(NAME)" && test -f "$(RECIPE)" || { echo "make recipe: NAME= one of $(RECIPES)"; exit 2; }
	$(PY) $(RECIPE) $(ARGS); code=$$?; $(PY) recipes/_measured.py; exit $$code

recipes-stale: $(BUILT)  ## the recipes whose committed result something has changed under
	$(PY) recipes/stale.py

build: $(BUILT)  ## the virtual environment and the native core

clean:  ## forget what was built; keep .venv's packages, data and runs
	rm -rf build site .pytest_cache .ruff_cache .hypothesis $(BUILT)

# ---- set-up: each step leaves a stamp, so that a second make is quick ------------------------------------------------

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is missing or older than 3.11; name a newer one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
	  { echo "make: $(PYTHON) cannot make a virtual environment; on Debian or Ubuntu: apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.packages: pyproject.toml constraints.txt | $(PY)
	$(PIP) pip setuptools
	$(PIP) --group build "$(TORCH)"
	@touch $@

$(PEERS)/.installed: pyproject.toml constraints.txt | $(VENV)/.packages
	$(PY) -m venv $(PEERS)
	$(PEERS_PIP) "$(TORCH)"
	$(PEERS_PIP) --group peers
	@touch $@

$(VENV)/.group-%: pyproject.toml constraints.txt | $(VENV)/.packages
	$(PIP) --group $*
	@touch $@

$(BUILT): $(VENV)/.packages CMakeLists.txt $(CORE_SOURCES)
	@command -v $${CXX:-c++} >/dev/null || { echo "make: no C++ compiler; on Debian or Ubuntu: apt install g++"; exit 1; }
	$(PIP) --no-build-isolation --editable '.[train]'
	@touch $@
