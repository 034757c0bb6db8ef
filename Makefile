# Two commands: `make demo` and `make test`. They need Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS ?= results
MODELS := -m resnet_s -m vit_s -m alternet_s

.DEFAULT_GOAL := help
.PHONY: help demo test lint results benchmark clean

help:
	@echo "make demo       install into $(VENV) and draw the four pictures for three trained networks"
	@echo "make test       install into $(VENV) and run all tests"
	@echo "make lint       ruff and mypy"
	@echo "make results    everything under results/, again"
	@echo "make benchmark  Hessian spectra side by side with three peers (an hour)"

# installed anew only when what is needed has changed; editable, so that code changes count at once
$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "landscape needs Python >= 3.11; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/landscape demo -o $(RESULTS)

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n auto --dist worksteal

$(VENV)/.linters: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

lint: $(VENV)/.linters
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

results: demo

benchmark: $(VENV)/.installed
	$(BIN)/python tests/benchmarks/hessian.py --part product --part top

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
