# Two commands: `make demo` and `make test`. They need Python >= 3.11, make and a package index.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS ?= results
MODELS := -m resnet_s -m vit_s -m alternet_s

.DEFAULT_GOAL := help
.PHONY: help demo test lint results benchmark clean

help:
	@echo "make demo       install into $(VENV) and draw four pictures of three trained networks, test the claims"
	@echo "make test       install into $(VENV) and run all tests"
	@echo "make lint       ruff and mypy"
	@echo "make results    everything under results/ (hours)"
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

# the claims and what accounts for who is flatter take some hours; what is there is not made again
results: demo
	for data in cifar10 deadleaves; do \
	  $(BIN)/landscape claims run --data $$data -o $(RESULTS) || exit; done
	$(BIN)/landscape reconcile resnet_s vit_s -o $(RESULTS)
	for name in operators lines; do $(BIN)/landscape plot \
	  $(RESULTS)/resnet_s@cifar10/$$name.nc $(RESULTS)/vit_s@cifar10/$$name.nc \
	  $(RESULTS)/alternet_s@cifar10/$$name.nc -o $(RESULTS)/figures/$$name@cifar10.png; done

benchmark: $(VENV)/.installed
	$(BIN)/python tests/benchmarks/hessian.py --part product --part top

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache
