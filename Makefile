# The one door: people and CI call these targets and nothing else.
# Every target sets up what it needs; setup runs again only when a lock, pyproject.toml or the C has changed.

PYTHON ?= python3
UV ?= uv
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
BASE := $(VENV)/base.stamp
DEV := $(VENV)/dev.stamp
DEEP := $(VENV)/deep.stamp
TORCH := torch==2.13.0
NATIVE := $(wildcard src/tillage/text/c/*)
CODE := src tests $(wildcard benchmarks)
BENCHES := $(wildcard benchmarks/figure_*.py)
LOCK := $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --group build

.DELETE_ON_ERROR:
# Tests and figures start the project hundreds of times: without byte code each would compile it anew.
unexport PYTHONDONTWRITEBYTECODE
.PHONY: help demo test test-all deep check bench lock

help:
	@echo "make demo      run the example in examples/customer-service"
	@echo "make test      the tests of every change"
	@echo "make test-all  the same and the nightly ones"
	@echo "make deep      PyTorch too; from then on the tests of deep learning run with the others"
	@echo "make check     style, types, imports"
	@echo "make bench     the figures of docs/benchmarks.md; BENCH_FLAGS=--quick for small sizes"
	@echo "make lock      write requirements/*.txt anew (needs uv); LOCK_FLAGS=--upgrade for newer versions"

demo: $(BASE)
	PATH="$(CURDIR)/$(BIN):$$PATH" bash examples/demo.sh examples/customer-service

test: $(DEV)
	$(BIN)/python -m pytest -n 2 --dist worksteal tests src --doctest-modules

test-all: $(DEV)
	HYPOTHESIS_PROFILE=nightly $(BIN)/python -m pytest -n 2 --dist worksteal tests src --doctest-modules -m ""

deep: $(DEEP)

check: $(DEV)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/mypy src tests
	$(BIN)/lint-imports

bench: $(DEV)
	@set -e; for file in $(BENCHES); do $(BIN)/python "$$file" $(BENCH_FLAGS); done

lock:
	$(LOCK) $(LOCK_FLAGS) --output-file requirements/base.txt
	$(LOCK) $(LOCK_FLAGS) --group dev --constraints requirements/base.txt --output-file requirements/dev.txt
	$(LOCK) $(LOCK_FLAGS) --group dev --group deep --constraints requirements/dev.txt \
		--override requirements/without-torch.txt --output-file requirements/deep.txt

# A stamp is touched last, so that it stands for a setup that went through. The build backend comes from the lock too,
# which is why the project itself is installed without build isolation.
$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

$(BASE): requirements/base.txt pyproject.toml $(NATIVE) | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements/base.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml $(NATIVE) | $(VENV)/bin/python
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $(BASE) $@

# PyTorch is the one package without a hash: which of its builds fits (no accelerator, or which) is for the machine to say.
$(DEEP): requirements/deep.txt $(DEV)
	$(PIP) install --require-hashes --no-deps -r requirements/deep.txt
	$(PIP) install $(TORCH)
	@touch $@
