# make demo       train a small ViM2 on real digits, test it, draw the results
# make demo-det   the same with Mask R-CNN, on scenes of several digits
# make demo-seg   the same with UperNet, on these scenes
# make demo-forecast   train a small TSM2 on a year of weather, test it, draw a forecast
# make test       run the tests
# make lint       check style, types and spelling
# make torture    kill, starve and damage runs, fuzz the ops, each again and again (hours)
# make torture-quick   a few trials of each (minutes)
# make bench      time the scans and ViM2-T on the CPU (minutes), draw the results
# make bench-gpu  time the scans and ViM2-T on the GPU, beside its limits; fill the page
# make docs       build the documentation site into docs/_build; a broken link fails
# make web        build the page that runs the demos' networks in a browser (docs/_build/web)
# make wheel      build the wheel into dist/, without an index and reproducibly
# make matrix     test the wheel in fresh environments, torch 2.8 to newest (half an hour and
#                 more); one table in build/matrix/table.md
# They set up .venv first where it is missing; later calls find it complete.
#
# Variables:
#   PYTHON                          Python 3.11 or later that makes the environment
#   VENV                            where the environment lies (.venv)
#   TORCH_INDEX_URL                 package index of torch and torchvision, to choose a
#                                   CPU-only or another CUDA build
#   MMMAMBAMIXER_TORCH=installed    use the torch and torchvision that PYTHON has
#   JOBS                            processes of `make test` (2)
#   TESTS                           what `make test` passes to pytest, for a random order
#                                   `-p randomly`
#   PEERS                           what `make bench` and `make bench-gpu` pass to
#                                   benchmarks/scan.py, to time other projects' files
#   MATRIX                          rows of `make matrix`, as "3.10:2.8 3.13:newest"; it
#                                   has further variables, see tests/support/matrix.py
#   WEB                             what `make web` passes to tools/make_web.py
#   VMAMBA                          VMamba's classification/models, for `make bench-gpu`

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-det demo-seg demo-forecast test torture torture-quick \
		bench bench-gpu docs web lint wheel matrix clean no-python

VENV ?= .venv
PYTHON ?= $(shell command -v python3.11 || command -v python3)
TORCH_INDEX_URL ?=
MMMAMBAMIXER_TORCH ?=
JOBS ?= 2
TESTS ?=
PEERS ?=
WEB ?=
VMAMBA ?=

ifneq ($(words $(VENV)),1)
$(error VENV must name a folder, without blanks, got '$(VENV)')
endif

PY := $(VENV)/bin/python
STAMPS := $(VENV)/stamps
PIP := $(PY) -m pip --disable-pip-version-check
export PYTHON VENV TORCH_INDEX_URL MMMAMBAMIXER_TORCH
export PATH := $(abspath $(VENV))/bin:$(PATH)

help:
	@sed -n '/^$$/q; s/^# \{0,1\}//p' Makefile

# A stamp is written when its step is done, so an interrupted set-up goes on where it
# stopped, and a changed pin or source repeats the steps that depend on it.
setup: $(STAMPS)/package

$(STAMPS)/venv: $(shell [ -x $(PY) ] || echo no-python)
	@tools/setup.sh venv && touch $@
$(STAMPS)/torch: requirements/torch.txt constraints.txt $(STAMPS)/venv
	@tools/setup.sh torch && touch $@
$(STAMPS)/tested: requirements/tested.txt $(STAMPS)/torch
	@tools/setup.sh tested && touch $@
$(STAMPS)/mmcv: $(STAMPS)/tested
	@tools/setup.sh mmcv && touch $@
$(STAMPS)/package: setup.py pyproject.toml mmmambamixer/version.py \
		$(shell find ops -name "*.cpp" -o -name "*.h") $(STAMPS)/mmcv
	@tools/setup.sh package && touch $@

demo: setup
	@tools/demo.sh digits

demo-det demo-seg demo-forecast: demo-%: setup
	@tools/demo.sh $*

test: setup
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist worksteal $(TESTS)

torture: setup
	$(PY) tests/torture/torture.py
	$(PY) tests/torture/fuzz.py 100000
	$(PY) tests/torture/fuzz.py 1000 --kernels triton
	$(PY) tests/torture/sanitize.py 10000

torture-quick: setup
	$(PY) tests/torture/torture.py --quick
	$(PY) tests/torture/fuzz.py 1000

bench: setup
	$(PY) benchmarks/scan.py $(PEERS)
	$(PY) benchmarks/scan_limits.py
	$(PY) benchmarks/swin.py
	$(PY) benchmarks/plots.py

ON_GPU := --device cuda --dtype bfloat16
WITH_VMAMBA = $(if $(VMAMBA),--vmamba $(VMAMBA))
bench-gpu: setup
	$(PY) benchmarks/gpu_limits.py
	$(PY) benchmarks/scan.py $(ON_GPU) $(PEERS)
	$(PY) benchmarks/scan.py $(ON_GPU) $(PEERS) --shapes 2048x192 4096x192 \
		--out benchmarks/results/scan_gpu_even.json
	$(PY) benchmarks/scan.py $(ON_GPU) $(PEERS) --shapes token1 --batch 1 \
		--out benchmarks/results/scan_gpu_one.json
	$(PY) benchmarks/cross_scan.py $(ON_GPU) $(WITH_VMAMBA)
	$(PY) benchmarks/vim2.py $(ON_GPU) $(WITH_VMAMBA) --train --batch 128 --runs 20
	$(PY) benchmarks/kernel_budget.py --out benchmarks/results/kernel_budget.json
	$(PY) benchmarks/plots.py

$(STAMPS)/lint: requirements/lint.txt $(STAMPS)/package
	@tools/setup.sh lint && touch $@
CPP := $(shell find ops tests -name "*.cpp" -o -name "*.h")
lint: $(STAMPS)/lint
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	clang-format --dry-run --Werror $(CPP)
	codespell
	$(PY) -m mypy

$(STAMPS)/docs: requirements/docs.txt $(STAMPS)/package
	@tools/setup.sh docs && touch $@
docs: $(STAMPS)/docs
	$(PY) -m sphinx --fail-on-warning --keep-going -q -b html -c docs . docs/_build

web: setup
	$(PY) tools/make_web.py $(WEB)

wheel: $(STAMPS)/tested
	@tools/wheel.sh

matrix: wheel
	$(PY) tests/support/matrix.py

clean:
	[ ! -e $(VENV)/pyvenv.cfg ] || rm -rf $(VENV)
	rm -rf build dist *.egg-info mmmambamixer/.mim
	rm -rf work_dirs/demo{,-det,-seg,-forecast}
	rm -rf data/digits data/{digit,crowded}_scenes data/weather_year
	rm -rf docs/_build
	rm -f ops/_C.*
