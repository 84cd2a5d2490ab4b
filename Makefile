# Everything goes through one set-up: a virtual environment in .venv, made once from pyproject.toml + constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# make run: DATA=path (left out: the synthetic set), OUT=dir, QUICK=0 (full settings), EPOCHS=n, SEED=n
DATA ?=
OUT ?=
QUICK ?=
EPOCHS ?=
SEED ?=
export HICLR_DATA = $(DATA)
export HICLR_OUT = $(OUT)
export HICLR_QUICK = $(QUICK)
export HICLR_EPOCHS = $(EPOCHS)
export HICLR_SEED = $(SEED)
# Waiting threads must not spin: on a shared machine that doubles the time.
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: help setup run test lint browser lab parity bench clean

help:
	@echo "make run      the five notebooks on the synthetic set, or on DATA=path; prints the result table"
	@echo "make test     linters, types and the whole test suite, notebooks and browser included"
	@echo "make lab      JupyterLab on 127.0.0.1 with a token, at notebook 01"
	@echo "make parity   REFERENCE=dir: compare with arrays from the authors' code"
	@echo "make bench    benchmarks; results in benchmarks/results/; RELEASED=dir: beside the authors' code"
	@echo "make setup    the set-up alone"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or later is needed, this is " + sys.version) if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[notebooks,dev]'
	touch $(READY)

run: setup
	$(BIN)/python notebooks/execute.py

# A file's tests run in one process, which makes what they share once, and in the order of the file wherever they run.
test: setup lint browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The browser tests use Debian's Chromium; where it is missing and cannot be installed they skip and say so.
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
	|| { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null \
	     && apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } \
	|| echo "no Chromium and no way to install it here: the browser tests will be skipped"

lab: setup
	$(BIN)/jupyter lab $$([ "$$(id -u)" = 0 ] && echo --allow-root) --ServerApp.ip=127.0.0.1 notebooks/01_data.ipynb

parity: setup
	@[ -n "$(REFERENCE)" ] || { echo "say where the arrays are: make parity REFERENCE=dir" >&2; exit 2; }
	$(BIN)/python -m hiclr.parity "$(REFERENCE)"

bench: setup
	$(BIN)/python -m benchmarks.run
	$(BIN)/python -m benchmarks.growth
	@if [ -n "$(RELEASED)" ]; then $(BIN)/python -m benchmarks.step --released "$(RELEASED)" \
	&& $(BIN)/python -m benchmarks.beside --released "$(RELEASED)"; \
	else echo "a step beside the authors' code is left out: make bench RELEASED=their checkout"; \
	$(BIN)/python -m benchmarks.step; fi

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
