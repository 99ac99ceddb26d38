# Everything a newcomer needs: `make demo` and `make test`. Both do the set-up first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# `make demo` and `make run` use the model store of whoever runs them, as vlmtool itself does.
# Tests and measurements keep to a store of the checkout; VLMTOOL_HOME in the environment wins.
starter test bench screenshots: export VLMTOOL_HOME := $(or $(VLMTOOL_HOME),$(CURDIR)/.vlmtool-home)
PIP := $(BIN)/python -m pip --disable-pip-version-check
DISTRIBUTIONS := -e '.[desktop,dev,demo]' -e plugins/medical -e plugins/education -e plugins/security

.PHONY: setup starter demo test lint run bench wheel screenshots clean
.DEFAULT_GOAL := setup

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt plugins/*/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo 'Python 3.11 or newer is needed: install it, or call make PYTHON=/path/to/python'; exit 3; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -q -c constraints.txt hatchling editables setuptools wheel  # docopt is no wheel
	$(PIP) install -q -c constraints.txt --no-build-isolation $(DISTRIBUTIONS)
	touch $@

starter: setup
	@$(BIN)/vlmtool-cli models pull starter

demo: setup
	-@$(BIN)/vlmtool-cli doctor --quiet
	$(BIN)/vlmtool-cli demo --out demo-output

test: setup starter
	@$(BIN)/vlmtool-cli doctor --quiet
	$(BIN)/python -m pytest -n 2 --dist loadfile -q $(PYTEST_ARGS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

run: setup
	$(BIN)/vlmtool

bench: setup starter
	$(BIN)/python -m tests.bench

screenshots: setup starter
	$(BIN)/python -m tests.desktop.screenshot_tour resources/vlmtool_resources/screenshots

wheel: setup
	$(BIN)/python -m build --no-isolation --wheel --outdir dist .
	for plugin in medical education security; do \
	  $(BIN)/python -m build --no-isolation --wheel --outdir dist plugins/$$plugin || exit 1; done

clean:
	rm -rf $(VENV) dist build demo-output .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
