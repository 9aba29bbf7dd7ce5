# `make demo` and `make test` set up what they need, in a virtual environment of their own.
#
# Variables:
#   PYTHON      the interpreter that the environment is made with (3.10 or newer)
#   VENV        where the environment is
#   TORCH       the release of PyTorch that is installed where none is there
#   TORCH_ARGS  further arguments for its installation, such as another package index
#   OPTUNA      the release of Optuna that is installed, e.g. optuna==4.6.0
#   DEMO        arguments of the demo, e.g. DEMO="--trials 10"
#   PYTEST      arguments of pytest; default: one process a core. PYTEST= runs them in one

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
TORCH_ARGS ?=
OPTUNA ?= optuna
DEMO ?=
PYTEST ?= --numprocesses auto

WHEEL_VENV := .venv-wheel
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip

.PHONY: help demo test test-oldest lint docs package clean

help:
	@echo "make demo         search for digit classifiers with and without zero-cost proxies"
	@echo "make test         run the tests"
	@echo "make test-oldest  run the sampler tests with the oldest supported Optuna"
	@echo "make lint         check style (ruff) and types (mypy, strict)"
	@echo "make docs         build the documentation in docs/_build; warnings are errors"
	@echo "make package      build sdist and wheel, and try the wheel in an empty environment"
	@echo "make clean        remove the virtual environments"

demo: $(VENV)/.demo
	@echo "==> running the demo: optuna-zerocost demo $(DEMO)"
	$(BIN)/optuna-zerocost demo $(DEMO)

test: $(VENV)/.test
	@echo "==> running the tests"
	$(BIN)/python -m pytest $(PYTEST)

test-oldest:
	$(MAKE) test VENV=.venv-oldest OPTUNA=optuna==4.6.0 PYTEST="$(PYTEST) tests/samplers tests/algorithms tests/rankings tests/records tests/conformance tests/scoring"

lint: $(VENV)/.lint
	@echo "==> checking style and types"
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	@echo "==> building the documentation"
	$(BIN)/python -m sphinx --fail-on-warning --keep-going docs docs/_build
	@echo "==> open docs/_build/index.html"

# PyTorch alone is lent to the environment of the wheel, since fetching it again would take minutes;
# everything else comes with the wheel's own requirements.
package: $(VENV)/.release
	@echo "==> building sdist and wheel in dist"
	rm -rf dist build $(WHEEL_VENV)
	$(BIN)/python -m build --outdir dist
	$(BIN)/python -m twine check --strict dist/*
	@echo "==> trying the wheel in $(WHEEL_VENV)"
	$(BIN)/python -m venv $(WHEEL_VENV)
	$(BIN)/python tests/release/lend_torch.py $(WHEEL_VENV)/lent
	@echo "$(abspath $(WHEEL_VENV))/lent" \
		> $$($(WHEEL_VENV)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/lent.pth
	$(WHEEL_VENV)/bin/python -m pip install --quiet dist/*.whl
	$(WHEEL_VENV)/bin/python -m pip check
	$(WHEEL_VENV)/bin/python -I tests/release/try_wheel.py

clean:
	rm -rf .venv .venv-oldest $(WHEEL_VENV) build dist docs/_build

$(VENV)/.torch:
	@echo "==> making a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -c "import torch" 2>/dev/null || { \
		echo "==> installing PyTorch ($(TORCH))"; \
		$(PIP) install --quiet $(TORCH_ARGS) "$(TORCH)" \
		|| $(PIP) install --quiet $(TORCH_ARGS) "torch>=2.4"; }
	@touch $@

# One rule for every extra: .demo installs optuna-zerocost[demo], and so on. All but the demo need
# the experiments too, which are a package of their own.
$(VENV)/.demo $(VENV)/.test $(VENV)/.lint $(VENV)/.docs $(VENV)/.release: $(VENV)/.%: $(VENV)/.torch pyproject.toml benchmarks/pyproject.toml
	@echo "==> installing optuna-zerocost with what '$*' needs"
	$(PIP) install --quiet --editable ".[$*]" $(if $(filter demo,$*),,--editable ./benchmarks) "$(OPTUNA)"
	@touch $@
