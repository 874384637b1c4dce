# Everything below works on a machine with nothing but Python 3.11+ and make.
#   make demo
#   make dst-sweep RECIPE=dst-smoke OUT=results/mine WORKERS=2 ARGS='--seeds 1-5'
PYTHON  ?= python3
RECIPE  ?=
OUT     ?=
WORKERS ?=
ARGS    ?=
NAME    ?=
PEERS   ?=
JOBS    ?= 2  # tests at a time

VENV       := .venv
PETLSPARSE := $(VENV)/bin/petlsparse
INSTALLED  := $(VENV)/.installed
DEVELOPING := $(VENV)/.installed-dev
STORES      = $(foreach made,$(wildcard results/*/runs.parquet),$(if $(findstring .before-,$(made)),,$(made:/runs.parquet=)))
FLAGS       = $(if $(OUT),--out $(OUT)) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

export OMP_NUM_THREADS ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo adapter-search dst-sweep smoke tables test fuzz lint bench gpu-check clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-24s %s\n", $$1, $$2}'
	@echo
	@echo "  variables: PYTHON=$(PYTHON) RECIPE= OUT= WORKERS= ARGS='any other flags of the command' JOBS=2"

demo: $(INSTALLED)  ## a small version of both studies, then their tables (minutes)
	$(PETLSPARSE) demo $(FLAGS)

adapter-search dst-sweep: $(INSTALLED)
	@test -n "$(RECIPE)" || { echo "name a recipe: make $@ RECIPE=NAME (see: $(PETLSPARSE) recipes ls)" >&2; exit 2; }
	$(PETLSPARSE) $@ $(RECIPE) $(FLAGS)
adapter-search:  ## the runs of RECIPE, an adapter-search study; again to resume
dst-sweep:  ## the runs of RECIPE, a dst-sweep study; again to resume

smoke: $(INSTALLED)  ## the smoke recipe of each study, what CI runs
	$(PETLSPARSE) dst-sweep dst-smoke $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)
	$(PETLSPARSE) adapter-search adapter-smoke $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

tables: $(INSTALLED)  ## comparison tables of OUT (or of all results/*), without training
	$(PETLSPARSE) compare $(or $(OUT),$(STORES)) $(ARGS)

test: $(DEVELOPING)  ## the default tests
	$(VENV)/bin/pytest -n $(JOBS) --dist worksteal

fuzz: $(DEVELOPING)  ## tests of drawn examples, drawn anew and many; what they find becomes an example of the test
	$(VENV)/bin/pytest -m hypothesis --hypothesis-profile=fuzz

lint: $(DEVELOPING)  ## ruff and mypy
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

bench: $(DEVELOPING)  ## speed and memory, side by side (an hour on a quiet machine); NAME= for some, PEERS= see docs
	$(VENV)/bin/python -m benchmarks $(NAME) $(if $(OUT),--out $(OUT)) $(if $(PEERS),--peers $(PEERS))

gpu-check: $(DEVELOPING)  ## what only CUDA can tell, in 8 minutes: tests, smoke recipes beside the CPU, speed; OUT=DIR
	@test -n "$(OUT)" || { echo "name a folder: make gpu-check OUT=DIR" >&2; exit 2; }
	$(VENV)/bin/python scripts/gpu_check.py --out $(OUT)

clean:  ## remove the virtual environment and caches; results stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "petlsparse needs Python 3.11 or newer; name one: make PYTHON=python3.12" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 2; }

$(INSTALLED): pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable .
	@touch $@

$(DEVELOPING): pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python -m pip install --quiet --editable '.[dev]'
	@touch $(INSTALLED) $@
