# The whole interface. `make` alone explains it.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# ACTIVE=1 uses the environment that is active now (conda, venv, ...) instead of making one in .venv.
ifdef ACTIVE
PY := python
READY := _build/.active
else
PY := .venv/bin/python
READY := .venv/.ready
# The first of these that there is; give PYTHON=... to use another.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
endif
JOBS ?= 2
# One thread to a process, several processes: the same bits wherever it runs, and no two fight over a core.
export OMP_NUM_THREADS := 1
NOTEBOOK ?=

.PHONY: help book pdf test smoke refresh records bench portable faults lint lock clean

help: ## what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s%s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  Variables: JOBS=2 (processes), NOTEBOOK=02_linear (one only), ACTIVE=1 (use the active environment)"

book: $(READY) ## execute every notebook and render the book to _build/html/index.html
	$(PY) -m fa_core run --jobs $(JOBS)
	$(PY) -m fa_core build
	@echo "The book is at _build/html/index.html"

pdf: $(READY) ## the whole book as one PDF, _build/book.pdf, of what `make book` executed; needs chromium
	test -d _build/source/notebooks || $(PY) -m fa_core run --jobs $(JOBS)
	$(PY) book/_ext/fa_pdf.py _build/source _build/book.pdf

test: $(READY) ## every test: module, notebooks (strict nbval), smoke runs, the built book in a browser
	$(PY) -m pytest -q -n $(JOBS) --dist loadscope --nbval --nbval-current-env tests notebooks

smoke: $(READY) ## every notebook at profile=smoke: small, all of it trained here, no record read
	$(PY) -m fa_core run $(NOTEBOOK) --profile smoke --out _build/smoke --jobs $(JOBS)

refresh: $(READY) ## execute the notebooks and write their outputs back, in normal form
	$(PY) -m fa_core run $(NOTEBOOK) --write-back --jobs $(JOBS)

records: $(READY) ## make the records that are missing (hours on a CPU; goes on where it was stopped)
	$(PY) -m fa_core record --all --jobs $(JOBS)

bench: $(READY) ## measure speed, as ratios, into benchmarks/results.json; PEERS=1: others' as well
	$(if $(PEERS),test -d _build/peers/jax || $(PY) -m pip install -q --target _build/peers jax==0.10.2)
	$(if $(PEERS),test -d _build/peers/biotorch || $(PY) -m pip install -q --no-deps --target _build/peers biotorch==0.0.16)
	OMP_NUM_THREADS=1 $(PY) -m benchmarks $(if $(PEERS),--peers)

portable: $(READY) ## strict nbval with one thread, with two, and with the processor's SIMD level lowered
	OMP_NUM_THREADS=1 $(PY) -m pytest -q --nbval --nbval-current-env -n $(JOBS) --dist loadscope notebooks
	OMP_NUM_THREADS=2 $(PY) -m pytest -q --nbval --nbval-current-env -n 1 --dist loadscope notebooks
	ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE NPY_DISABLE_CPU_FEATURES="$$($(PY) -m benchmarks.simd)" \
	  $(PY) -m pytest -q --nbval --nbval-current-env -n $(JOBS) --dist loadscope notebooks

faults: $(READY) ## plant faults in a copy, one at a time, and name those that no test notices (about an hour)
	$(PY) -m tests.faults

lint: $(READY) ## ruff, types by mypy, and codespell
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(PY) -m codespell_lib

lock: ## resolve requirements.in into requirements.lock and environment.yml
	rm -rf _build/lock && $(PYTHON) -m venv _build/lock
	_build/lock/bin/pip install -q -r requirements.in
	_build/lock/bin/pip freeze | sed 's/+cpu$$//' > requirements.lock
	{ printf 'name: fa_core\nchannels:\n  - conda-forge\n  - nodefaults\ndependencies:\n  - python=3.11\n  - pip\n  - pip:\n'; \
	  sed 's/^/      - /' requirements.lock; } > environment.yml

clean: ## remove everything that make made
	rm -rf _build .venv .mypy_cache .ruff_cache .hypothesis .pytest_cache *.egg-info

# Set-up: done once, and again when the lock or the package's own metadata changes.
.venv/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "make: no Python found. Install Python 3.11, or give PYTHON=/path/to/python"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "make: $(PYTHON) is older than 3.11. Install Python 3.11, or give PYTHON=/path/to/python"; exit 1; }
	test -x .venv/bin/python || $(PYTHON) -m venv .venv
	$(call install,.venv/bin/python)
	@touch $@

_build/.active: requirements.lock pyproject.toml
	$(call install,python)
	@mkdir -p _build && touch $@

define install
@echo "make: installing requirements.lock, about 2 GB; it takes some minutes and says nothing meanwhile"
@$(1) -m pip install -q --disable-pip-version-check -r requirements.lock || \
  { echo "make: installing requirements.lock failed (see above). Is a package index reachable, and is there 2 GB of disk?"; exit 1; }
@$(1) -m pip install -q --disable-pip-version-check --no-deps -e .
endef
