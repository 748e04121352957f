# Every target first creates .venv with all dependencies: `make demo` works in a fresh clone.
# PYTHON=python3.12 make test   chooses the interpreter of a new .venv.

PYTHON_IN_VENV := .venv/bin/python

.PHONY: help setup demo report test test-slow lint format clean

# A file of tests is a unit of work for a core: its fixtures are made once. tests/conftest.py has the
# order of the files. The programs that tests start import what is compiled, whatever the
# environment says.
PYTEST := PYTHONDONTWRITEBYTECODE= $(PYTHON_IN_VENV) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

help: ## Show this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /make \1\t/' | expand -t 16

setup: ## Make .venv with all dependencies (the other targets do so themselves)
	@bash tools/setup.sh

demo: setup ## Separate a song with the weights in the package
	$(PYTHON_IN_VENV) examples/demo.py

report: setup ## Make a page of results of these weights; OPENSTEMS=DIR takes the test songs of a data set
	$(PYTHON_IN_VENV) examples/report.py

test: lint ## Check the style and run the tests but those that take minutes
	$(PYTEST)

test-slow: setup ## Run the tests that take minutes each
	$(PYTEST) -m slow

lint: setup ## Check formatting and style, changing nothing
	$(PYTHON_IN_VENV) -m ruff format --check --diff --quiet .
	$(PYTHON_IN_VENV) -m ruff check .

format: setup ## Format the code
	$(PYTHON_IN_VENV) -m ruff check --fix --exit-zero .
	$(PYTHON_IN_VENV) -m ruff format .

clean: ## Delete .venv, builds and caches
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
