# The commands of this project. Each is a few lines that can be run by hand as well.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
TEST_ARGS ?= -n 2

.DEFAULT_GOAL := help
.PHONY: help run test test-slow check format docs pictures bench soak

help:
	@echo "make run     serve on http://localhost:3050 (PORT=…)"
	@echo "make test    the suite, in minutes (TEST_ARGS='-k name' for a part)"
	@echo "make test-slow  the rest: Chromium, several servers, kills, attacks, loads"
	@echo "make check   formatting, lint, types, layers, migrations, settings, documents"
	@echo "make format  put the formatting right"
	@echo "make docs    write the generated documents anew"
	@echo "make pictures  take the pictures of the console in docs/ anew, with Chromium"
	@echo "make bench   figures of a running server beside its upstream's"
	@echo "make soak    a long run that looks for leaks"

run: .venv/runtime
	@$(BIN)/python manage.py bootstrap
	@$(BIN)/python manage.py serve

test: .venv/development
	$(BIN)/python -m pytest -m "not slow" $(TEST_ARGS)

test-slow: .venv/development
	$(BIN)/python -m pytest -m slow $(TEST_ARGS)

check: .venv/development
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run
	ENVIRONMENT=production ALLOWED_HOSTS=api.example.com \
		$(BIN)/python manage.py check --deploy --fail-level WARNING
	$(BIN)/python manage.py config_reference --check
	$(BIN)/python manage.py error_reference --check
	@mkdir -p build
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file build/openapi.yaml
	diff -u docs/openapi.yaml build/openapi.yaml

format: .venv/development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/development
	$(BIN)/python manage.py config_reference
	$(BIN)/python manage.py error_reference
	$(BIN)/python manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml

pictures: .venv/development
	$(BIN)/python -m tests.console.pictures

bench: .venv/development
	$(BIN)/python -m benchmarks.bench

soak: .venv/development
	$(BIN)/python -m benchmarks.soak

# Stamps: a second run installs nothing until a list of requirements changes.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/runtime: requirements.txt | .venv/bin/python
	@echo "Installing; the first time this takes about a minute."
	@$(PIP) -r requirements.txt
	@touch $@

.venv/development: requirements.txt requirements-dev.txt | .venv/bin/python
	$(PIP) -r requirements-dev.txt
	@touch $@ .venv/runtime
