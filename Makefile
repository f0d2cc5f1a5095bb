# summarize: the main job   test, test-slow: what CI runs   ui: MLflow on mlruns/   clean: all but mlruns/
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Where torch comes from, for those who need another build:
#   make summarize TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# The exact versions; its own header says how it is made and renewed.
LOCK := constraints.txt
INSTALL = $(BIN)/python .ci/install.py -c $(LOCK) $(if $(TORCH_INDEX),--torch-index '$(TORCH_INDEX)')

.PHONY: summarize test test-slow install install-dev lock ui clean

summarize: install
	$(BIN)/python -m llamaduo +experiment=summarize $(ARGS)

test: install-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Types are looked at while tests wait for what they started: it saves a minute.
	$(BIN)/mypy > $(VENV)/mypy.txt 2>&1 & types=$$!; \
	$(BIN)/pytest -n auto --dist loadgroup -m 'not slow' $(ARGS); tests=$$?; \
	wait $$types; types=$$?; cat $(VENV)/mypy.txt; exit $$((tests ? tests : types))

test-slow: install-dev
	$(BIN)/pytest -n auto --dist loadgroup -m slow $(ARGS)

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(INSTALL) -e .
	touch $@

$(VENV)/installed-dev: pyproject.toml $(LOCK) | $(VENV)/bin/python
	$(INSTALL) -e '.[dev]'
	touch $@ $(VENV)/installed

# The newest versions that go together, but for torch, from an environment of its own. Which build of
# torch that is (+cpu) is left out: TORCH_INDEX chooses it, not the lock.
lock:
	rm -rf $(VENV)/lock
	mkdir -p $(VENV)
	grep '^torch==' constraints.txt > $(VENV)/torch.txt
	$(MAKE) install-dev VENV=$(VENV)/lock LOCK=$(VENV)/torch.txt
	$(VENV)/lock/bin/python -m pip freeze --exclude-editable > $(VENV)/frozen.txt
	@! grep '^triton==' $(VENV)/frozen.txt || { echo "That comes with a CUDA build of torch, and would \
	hold everyone to it: make lock TORCH_INDEX=https://download.pytorch.org/whl/cpu"; exit 2; }
	sed -i.old '/^#/!d' constraints.txt
	sed 's/+.*//' $(VENV)/frozen.txt | LC_ALL=C sort -f >> constraints.txt
	rm -r constraints.txt.old $(VENV)/lock

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
