# Two commands for a bare clone on a machine with Python 3.11 and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := dicom_listener monitor scanner_sim segmentation tests benchmarks web_ui
PAGE_SOURCES := $(shell find web_ui -path web_ui/node_modules -prune -o -path web_ui/dist -prune -o -type f -print 2>/dev/null)

.PHONY: help install demo serve test check format unit fuzz peers types conformance bench lock clean
help:            ## what can be made here
	@grep -E '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## */\t/'

$(VENV)/.locked: requirements/dev.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --disable-pip-version-check --quiet --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.installed: $(VENV)/.locked pyproject.toml $(PAGE_SOURCES)
	$(BIN)/pip install --disable-pip-version-check --quiet --no-build-isolation --no-deps -e .
	@touch $@

install: $(VENV)/.installed  ## a virtual environment in .venv, from the lock file, with the page built

demo: install    ## one simulated procedure, live in the browser
	$(BIN)/icemargin demo $(DEMO)

serve: install   ## the service, as config.yaml says
	$(BIN)/icemargin serve --config config.yaml

test: install peers check unit  ## everything that must hold before a commit lands

check: install   ## formatter, linter, types, in Python and on the page
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/python web_ui/npm.py run --silent check
	$(BIN)/python web_ui/npm.py test --silent

unit: install    ## the tests
	sh tests/run.sh $(BIN)/python $(PYTEST)

fuzz: install    ## ten minutes of nonsense to a running service, from many peers at once
	FUZZ_SECONDS=600 $(BIN)/python -m pytest tests/faults/test_fuzz.py -o log_cli=true --log-cli-level=INFO $(PYTEST)

peers:           ## Debian packages that the tests talk to
	sh tests/peers/install.sh

format: install  ## mend what the formatter and linter can
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

types: install   ## the page's types from the API's description
	$(BIN)/python -m monitor.openapi > web_ui/openapi.json
	$(BIN)/python web_ui/npm.py run --silent types

conformance: install  ## the tables of docs/conformance.md and docs/connecting-a-scanner.md, from the code
	$(BIN)/python -m tests.docs.conformance

bench: install   ## accuracy, speed of the analysis, latency, and receiving, as tables; writes docs/accuracy.md
	$(BIN)/python -m benchmarks $(BENCH)

lock: install    ## pin the dependencies again
	$(BIN)/pip install --disable-pip-version-check --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --extra dev -c requirements/runtime.txt pyproject.toml -o requirements/dev.txt

clean:           ## what was built here
	rm -rf $(VENV) web_ui/dist web_ui/node_modules .mypy_cache .pytest_cache .ruff_cache
