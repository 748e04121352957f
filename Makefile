# Every target sets up what it needs in .venv first: `make demo` works on a fresh clone.
# PYTHON=python3.12 make test   picks the interpreter of a new .venv.

PYTHON_IN_VENV := .venv/bin/python

.PHONY: help setup demo report test lint format clean

help: ## Show this list
	@grep -E '^[a-z]+:.*## ' Makefile | sed -E 's/^([a-z]+):.*## /make \1\t/' | expand -t 16

setup: ## Make .venv with all dependencies (the other targets do it themselves)
	@bash tools/setup.sh

demo: setup ## Separate a song with the weights that ship with the package
	$(PYTHON_IN_VENV) examples/demo.py

report: setup ## Make a page of results of these weights; OPENSTEMS=DIR takes a data set's test songs
	$(PYTHON_IN_VENV) examples/report.py

test: lint ## Check the style and run the tests, a file of them on each core
	$(PYTHON_IN_VENV) -m pytest -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

lint: setup ## Check formatting and style, changing nothing
	$(PYTHON_IN_VENV) -m black --check --quiet --diff .
	$(PYTHON_IN_VENV) -m ruff check .

format: setup ## Rewrite the code in the project's format
	$(PYTHON_IN_VENV) -m ruff check --fix --exit-zero .
	$(PYTHON_IN_VENV) -m black .

clean: ## Delete .venv, build leftovers and caches
	rm -rf .venv build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
