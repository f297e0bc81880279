# Every target sets up .venv by itself; nothing but Python 3.11+ and make is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo demo-ui test test-all check lint docs setup wheel smoke bench chaos clean

demo: $(READY)
	$(BIN)/python -m cvat_flows.deployments.demo

demo-ui: $(READY)
	$(BIN)/python -m cvat_flows.deployments.demo --ui

PYTEST := $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test: $(READY)
	$(PYTEST) -m "not slow"

# With the long tests, and ten times the examples of hypothesis.
test-all: $(READY)
	HYPOTHESIS_PROFILE=thorough $(PYTEST)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/mypy

check: lint
	$(BIN)/python -m pytest -m "not (gpu or cvat or ui or scale or slow)" -q

# docs/reference.md follows the parameter models; a test fails if it does not.
docs: $(READY)
	$(BIN)/python docs/make_reference.py

setup: $(READY)

# dist/cvat_flows-VERSION-py3-none-any.whl
wheel: $(READY)
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

# The wheel, with the newest dependencies that it allows, on each Python that this machine has. With
# Ultralytics and torch: make smoke EXTRA=yolo
smoke: wheel
	$(BIN)/python -m tests.smoke --extra "$(EXTRA)" dist/*.whl

bench: $(READY)
	$(BIN)/python -m bench

chaos: $(READY)
	$(BIN)/python -m tests.chaos --schedules 500

clean:
	rm -rf $(VENV) build dist demo-output bench-output

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade -c constraints.txt pip
	$(BIN)/python -m pip install --quiet -c constraints.txt --group dev -e ".[yolo,fast,onnx,transformers,torchvision,scale,s3]"
	touch $(READY)
