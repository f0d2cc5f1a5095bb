# summarize: the main job   test, test-slow: what CI runs   ui: MLflow on mlruns/   clean: all but mlruns/
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Where torch comes from, for those who need another build:
#   make summarize TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Python compiles what is imported, once; compiling all of 24,000 files takes a minute and is not used.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile \
	-c constraints.txt

.PHONY: summarize test test-slow install install-dev ui clean

summarize: install
	$(BIN)/python -m llamaduo +experiment=summarize $(ARGS)

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pytest -n auto --dist loadgroup -m 'not slow' $(ARGS)

test-slow: install-dev
	$(BIN)/pytest -n auto --dist loadgroup -m slow $(ARGS)

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first and pinned: left to the other packages' ranges, pip may take a build of several GB.
$(VENV)/torch: constraints.txt | $(VENV)/bin/python
	$(PIP) $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	touch $@

$(VENV)/installed: pyproject.toml constraints.txt $(VENV)/torch
	$(PIP) -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml constraints.txt $(VENV)/torch
	$(PIP) -e '.[dev]'
	touch $@ $(VENV)/installed

# Without these, MLflow reports its use, and litellm, which it imports, asks the network for prices
# and, where there is none, hangs in its own import.
ui: export MLFLOW_DISABLE_TELEMETRY = true
ui: export DO_NOT_TRACK = 1
ui: export LITELLM_LOCAL_MODEL_COST_MAP = True
ui: install
	$(BIN)/mlflow ui --backend-store-uri sqlite:///$(CURDIR)/mlruns/mlflow.db --host 127.0.0.1

clean:
	rm -rf $(VENV) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage
	find . -name __pycache__ -type d -not -path './mlruns/*' -prune -exec rm -rf {} +
