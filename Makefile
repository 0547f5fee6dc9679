# Nothing but Python 3.11 or newer (with its venv module) and make is needed; everything is kept in .venv.
#   make run      start in development mode                 make test     all tests, the long loops short
#   make check    tests, ruff, mypy, import-linter, the book   make prove    the long loops in full
#   make docs     the book, in docs/_build/html
#   make bench    what single rooms can do, and how long one client keeps another waiting
# Another Python: make run PYTHON=python3.12

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SPHINX = $(BIN)/sphinx-build -b html -n -W --keep-going -q

.PHONY: run test check prove docs bench clean

run: $(VENV)/.run
	$(BIN)/twistd -n mailfw

test: $(VENV)/.test
	$(BIN)/python -m pytest -q

prove: $(VENV)/.test
	$(BIN)/python -m pytest -q -m "prove or hypothesis" --prove

check: $(VENV)/.check
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(SPHINX) docs docs/_build/html
	$(BIN)/python -m pytest -q

docs: $(VENV)/.docs
	$(SPHINX) docs docs/_build/html

bench: $(VENV)/.test
	$(BIN)/python bench/message.py
	$(BIN)/python bench/smtp.py
	$(BIN)/python bench/store.py --store sqlite
	$(BIN)/python bench/store.py --store maildir
	$(BIN)/python bench/stall.py --messages 20000

clean:
	rm -rf $(VENV)

# A stamp is made anew when the requirements change.
$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.test: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/.run

$(VENV)/.check: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[check]'
	touch $@ $(VENV)/.docs $(VENV)/.test $(VENV)/.run

$(VENV)/.docs: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	touch $@ $(VENV)/.run

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mailfw needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
