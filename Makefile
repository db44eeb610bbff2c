# What a newcomer needs is `make demo` and `make test`; `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# A test run starts hundreds of processes. Each would compile all that it imports once more.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test containers lint bench bench-models chaos audit docs generate clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into $(VENV); this takes a minute or more, once."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[stack,dev]'
	# Its ONNX files are needed, not its code, whose dependencies would replace OpenCV.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --no-deps --ignore-requires-python rapidocr-onnxruntime
	@touch $@

install: $(INSTALLED) ## make .venv with everything in it, the versions as tested

demo: $(INSTALLED) ## run operations and models on the photos in examples/
	$(BIN)/python examples/demo.py

lint: $(INSTALLED) ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Most tests wait for most of their time, so four processes share them (tests/support/groups.py).
# Those that hold times to a bound come after them, when nothing else runs. To collect only their
# files saves seconds.
BESIDE := --numprocesses 4 --no-loadscope-reorder
# Threads that wait for work give the processor to other processes.
test: export OMP_WAIT_POLICY := passive
test: lint ## lint, then every test
	$(BIN)/python -m pytest $(BESIDE) -m "not alone" --ignore=tests/containers
	$(BIN)/python -m pytest -m alone $$(grep -rl --include='test_*.py' mark.alone tests)

# An engine of its own, if you are root; another one with DOCKER_HOST. Without either, skipped.
containers: $(INSTALLED) ## build the images and try the compose file with a real Docker engine
	$(BIN)/python -m pytest tests/containers --verbose --durations=0 --durations-min=1 --timeout=1800

bench: $(INSTALLED) ## the benchmarks, as tables and as JSON in bench-output/
	$(BIN)/python -m benchmarks

chaos: $(INSTALLED) ## what happens to jobs when things break, as a table; the long form
	$(BIN)/python -m tests.chaos --long
	$(BIN)/python -m tests.fuzz

audit: $(INSTALLED) ## known faults of the installed packages; asks a data base on the network
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.venv-audit/bin/pip-audit --path \
		"$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

generate: $(INSTALLED) ## write from the code what follows from it: typed jobs, pages of the docs
	$(BIN)/python -m docs.generate

docs: $(INSTALLED) ## the documentation as a site: site/index.html; its gallery is the demo's
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable '.[docs]'
	$(BIN)/python examples/demo.py
	$(BIN)/python -m mkdocs build --strict

bench-models: $(INSTALLED) ## what batching gains, and what the queue costs over a bare loop
	$(BIN)/python -m benchmarks models

clean: ## remove what the other targets made
	rm -rf $(VENV) .venv-audit demo-output bench-output site build *.egg-info
