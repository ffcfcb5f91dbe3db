# Sets up and runs MedSR from a fresh clone. The two commands to know: make demo, make test.
#
#   PYTHON   the interpreter that makes the environment (3.10 to 3.13)
#   VENV     where the environment goes
#   TORCH    what pip installs as PyTorch; for the small CPU wheels:
#              make demo TORCH="torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu"
#   PYTEST   further arguments of pytest, for example PYTEST="-m 'not slow'"; PYTEST=-n0 for one process

PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
PYTEST ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
DEMO_READY := $(VENV)/.ready-for-demo
TEST_READY := $(VENV)/.ready-for-test

.PHONY: help demo test lint clean
.DEFAULT_GOAL := help

help:
	@echo "make demo   set up, then degrade and enlarge a real brain and write a page about it (demo-output/)"
	@echo "make test   set up, then run all tests"
	@echo "make lint   set up, then ruff and mypy"
	@echo "make clean  remove the environment and what the demo wrote"

demo: $(DEMO_READY)
	@$(BIN)/medsr demo --output demo-output

test: $(TEST_READY)
	@$(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal $(PYTEST)

lint: $(TEST_READY)
	@$(BIN)/ruff check .
	@$(BIN)/mypy

clean:
	rm -rf $(VENV) demo-output

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || { \
	  echo "MedSR needs Python 3.10 to 3.13; $(PYTHON) is '$$($(PYTHON) --version 2>&1)'. Give another: make PYTHON=python3.11 ..."; \
	  exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "Python cannot make environments here. On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }
	@echo "Making the environment $(VENV) ..."
	@$(PYTHON) -m venv $(VENV) || { \
	  rm -rf $(VENV); echo "On Debian or Ubuntu: sudo apt-get install python3-venv"; exit 1; }

# PyTorch comes first and by version, so that nothing after it chooses another one. nilearn is wanted for the brain
# volume that it carries, so it comes without the packages that its code would need.
$(DEMO_READY): pyproject.toml Makefile | $(BIN)/python
	@echo "Installing PyTorch ($(TORCH)): the largest part, minutes on a slow line ..."
	@$(PIP) $(TORCH)
	@echo "Installing MedSR and what its networks need ..."
	@$(PIP) -e '.[network]'
	@$(PIP) --no-deps 'nilearn>=0.10'
	@touch $@

$(TEST_READY): $(DEMO_READY)
	@echo "Installing what training and the tests need ..."
	@$(PIP) -e '.[network,train,cohort,anonymize,dev,slicer-test]'
	@$(BIN)/python Testing/gui/slicer_python.py
	@touch $@
