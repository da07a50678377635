# Everything runs from .venv, which is made from requirements.lock on first use.
PYTHON ?= python3
OUT ?= demo
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint types docs lock clean

demo: $(STAMP)  ## the main job, end to end on synthetic radiographs
	$(BIN)/hilum demo $(OUT)

test: $(STAMP)  ## the whole suite, two workers
	$(BIN)/python -m pytest -n 2 --dist worksteal

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP)
	$(BIN)/mypy

docs: $(STAMP)  ## write docs/commands.md from --help
	$(BIN)/python docs/make_commands.py

lock:  ## resolve pyproject.toml again (needs uv)
	printf 'torch==2.12.0\ntorchvision==0.27.0\n' > build-constraints.txt
	uv pip compile --universal --python-version 3.11 --no-header --no-emit-index-url \
		--no-annotate --extra dev -c build-constraints.txt pyproject.toml -o requirements.lock
	rm build-constraints.txt

$(STAMP): requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $(STAMP)

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache
